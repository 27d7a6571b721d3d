package queue

import (
	"reflect"
	"slices"
	"testing"
)

// Each option is applied to the tasks of a schedule, or refused: a new one must be added to
// givenOptions or ScheduleOptions, and here.
func TestSchedulesKnowAllOptions(t *testing.T) {
	applied := []string{"queue", "backend", "priority", "maxAttempts", "timeout", "unique", "keep", "expiry", "expiresIn", "onFailed", "limitKey"}
	refused := []string{"delay", "runAfter", "id", "withID", "expiresAt", "aliases", "description", "backoff", "strictArgs", "limits", "use", "around", "encrypt", "group", "inGroup", "once"}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[options]()) {
		if !slices.Contains(applied, field.Name) && !slices.Contains(refused, field.Name) {
			t.Errorf("the option %s is not known to schedules", field.Name)
		}
	}
}
