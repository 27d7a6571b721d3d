package api

import (
	"cmp"
	"encoding/json"

	"github.com/claimcheck-go/claimcheck/queue"
)

// ParseSchedule reads the body that describes a schedule. Its errors name the field and
// what it accepts.
func ParseSchedule(name string, body []byte) (queue.ScheduleRequest, error) {
	var (
		task, spec, zone, catchUp, overlap, queueName, backend *string
		paused                                                 *bool
		priority                                               *int
		args                                                   json.RawMessage
		end                                                    ending
		unique                                                 Unique
	)
	err := DecodeObject(body, map[string]any{
		"task": &task, "args": &args, "spec": &spec, "zone": &zone, "catch_up": &catchUp, "overlap": &overlap, "paused": &paused,
		"queue_name": &queueName, "priority": &priority, "backend_name": &backend,
		"keep_successful": &end.keepSuccessful, "keep_failed": &end.keepFailed, "expires_in": &end.expiresIn, "unique_key": &unique.Key, "unique_for": &unique.For,
	})
	r := queue.ScheduleRequest{Name: name, Zone: "UTC", CatchUp: queue.CatchUpOne, Overlap: queue.OverlapAllow}
	switch {
	case err != nil:
		return r, cmp.Or(ofOneEnqueue(body), err)
	case task == nil || *task == "":
		return r, BadRequest("task must be the name of a registered task")
	case spec == nil || *spec == "":
		return r, BadRequest(`spec must be a cron expression such as "0 9 * * 1-5", "@daily" or "@every 90s"`)
	}
	r.Task, r.Spec, r.Paused = *task, *spec, paused != nil && *paused
	if args != nil {
		r.Args = args
	}
	if zone != nil {
		r.Zone = *zone
	}
	if catchUp != nil {
		r.CatchUp = queue.CatchUp(*catchUp)
	}
	if overlap != nil {
		r.Overlap = queue.Overlap(*overlap)
	}
	if queueName != nil {
		r.Options = append(r.Options, queue.OnQueue(*queueName))
	}
	if backend != nil {
		r.Options = append(r.Options, queue.OnBackend(*backend))
	}
	if priority != nil {
		r.Options = append(r.Options, queue.Priority(*priority))
	}
	key, err := unique.Option("unique_key", "unique_for", "")
	if err != nil {
		return r, err
	}
	if key != nil {
		r.Options = append(r.Options, key)
	}
	options, err := end.options()
	r.Options = append(r.Options, options...)
	return r, err
}

// ofOneEnqueue refuses fields of an enqueue that a schedule cannot have, and says what to
// give instead.
func ofOneEnqueue(body []byte) error {
	var given map[string]json.RawMessage
	_ = json.Unmarshal(body, &given) // DecodeObject reports it
	for _, field := range []struct{ name, remedy string }{
		{"expires_at", "use expires_in, which counts from the time of each occurrence"},
		{"run_after", "an occurrence is due at its time, so change spec"},
		{"id", "each task of a schedule has its own; use unique_key to have no two of them at once"},
		{"on_conflict", "leave it out: an occurrence whose key another task holds is not enqueued"},
	} {
		if _, ok := given[field.name]; ok {
			return BadRequest("%s is not a field of a schedule: %s", field.name, field.remedy)
		}
	}
	return nil
}
