package queue

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
)

type (
	tree struct {
		Name     string
		Children []*tree
		ByKey    map[int]tree
	}
	base    struct{ N int }
	derived struct {
		base
		At   time.Time
		Raw  json.RawMessage
		Any  any
		Deep [2]map[string][]*float64
		hook func() //nolint:unused // JSON does not see it
		Skip func() `json:"-"`
	}
	byPointer struct{ *base }
	holdsErr  struct{ Err error }
	shouts    struct{}
	holds     struct{ Loud []shouts }
)

func (shouts) MarshalJSON() ([]byte, error) { return []byte(`"loud"`), nil }

func TestPlainType(t *testing.T) {
	for _, c := range []struct {
		got   reflect.Type
		plain bool
	}{
		{plainType[int](), true},
		{plainType[any](), true},
		{plainType[[]byte](), true},
		{plainType[json.RawMessage](), true},
		{plainType[tree](), true},
		{plainType[*derived](), true},
		{plainType[struct{}](), true},
		{plainType[chan int](), false},
		{plainType[error](), false},
		{plainType[fmt.Stringer](), false},
		{plainType[byPointer](), false},
		{plainType[holdsErr](), false},
		{plainType[holds](), false},
		{plainType[map[time.Time]int](), true},
	} {
		if (c.got != nil) != c.plain {
			t.Errorf("plain type %v; want it to be plain: %t", c.got, c.plain)
		}
	}
}
