package jsonvalue

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
)

type (
	node struct {
		Name     string
		Children []*node
		ByKey    map[int]node
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

func TestRoundTrips(t *testing.T) {
	for _, c := range []struct {
		got  reflect.Type
		want bool
	}{
		{RoundTrips[int](), true},
		{RoundTrips[any](), true},
		{RoundTrips[[]byte](), true},
		{RoundTrips[json.RawMessage](), true},
		{RoundTrips[node](), true},
		{RoundTrips[*derived](), true},
		{RoundTrips[struct{}](), true},
		{RoundTrips[chan int](), false},
		{RoundTrips[error](), false},
		{RoundTrips[fmt.Stringer](), false},
		{RoundTrips[byPointer](), false},
		{RoundTrips[holdsErr](), false},
		{RoundTrips[holds](), false},
		{RoundTrips[map[time.Time]int](), true},
	} {
		if (c.got != nil) != c.want {
			t.Errorf("round trips: %v, want %t", c.got, c.want)
		}
	}
}
