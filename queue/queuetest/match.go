package queuetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Match is a condition on a task that was enqueued.
type Match struct {
	text   string       // after "with"; empty: it is none
	in     reflect.Type // what the arguments must be; nil: any
	differ func(row *queue.Row, args any) []string
	times  int // of Times
}

// check returns the error of a condition on arguments of another type.
func (m Match) check(in reflect.Type, task string) error {
	switch {
	case m.differ == nil && m.times < 1:
		return fmt.Errorf("queuetest: Times must be at least 1, not %d: RequireNone is for none", m.times)
	case m.in != nil && m.in != in:
		return fmt.Errorf("queuetest: the condition is on arguments of the type %s, and those of %s have the type %s", m.in, task, in)
	}
	return nil
}

// times is how many tasks must match.
func times(match []Match) int {
	n := 1
	for _, m := range match {
		if m.times > 0 {
			n = m.times
		}
	}
	return n
}

// differences says what of a row does not match.
func differences(match []Match, row *queue.Row, args any) (how []string) {
	for _, m := range match {
		if m.differ != nil {
			how = append(how, m.differ(row, args)...)
		}
	}
	return how
}

// Args matches a task with these arguments: of the task's own type, and the same JSON.
func Args[In any](want In) Match {
	encoded, err := json.Marshal(want)
	text := "args " + string(encoded)
	if err != nil {
		text = fmt.Sprintf("args that cannot be encoded (%v)", err)
	}
	return Match{text: text, in: reflect.TypeFor[In](), differ: func(row *queue.Row, _ any) []string {
		if err != nil {
			return []string{text}
		}
		return differentJSON("args", row.Args, encoded)
	}}
}

// Where matches a task whose arguments fulfil a condition, which what describes, as in
// "a total above 100".
func Where[In any](what string, holds func(In) bool) Match {
	return Match{text: what, in: reflect.TypeFor[In](), differ: func(row *queue.Row, args any) []string {
		if in, _ := args.(In); holds(in) {
			return nil
		}
		return []string{fmt.Sprintf("args are %s, want %s", argsOf(row), what)}
	}}
}

// field matches a task by one value.
func field[T comparable](name string, want T, of func(*queue.Row) T) Match {
	return Match{text: fmt.Sprintf("%s %v", name, want), differ: func(row *queue.Row, _ any) []string {
		if got := of(row); got != want {
			return []string{fmt.Sprintf("%s is %v, want %v", name, got, want)}
		}
		return nil
	}}
}

// OnQueue matches a task in the queue of this name.
func OnQueue(name string) Match {
	return field("queue", name, func(r *queue.Row) string { return r.Queue })
}

// Priority matches a task with this priority.
func Priority(n int) Match { return field("priority", n, func(r *queue.Row) int { return r.Priority }) }

// Status matches a task that is in this state now.
func Status(s queue.Status) Match {
	return field("status", s, func(r *queue.Row) queue.Status { return r.Status })
}

// UniqueKey matches a task with this idempotency key; the empty one, a task without any.
func UniqueKey(key string) Match {
	return field("unique key", key, func(r *queue.Row) string { return r.UniqueKey })
}

// LimitKey matches a task with this limit key; the empty one, a task without any.
func LimitKey(key string) Match {
	return field("limit key", key, func(r *queue.Row) string { return r.LimitKey })
}

// RunAfter matches a task that runs at this time at the earliest; the zero time, one that
// was due at once. Times have microseconds.
func RunAfter(at time.Time) Match {
	show := func(at time.Time) string {
		if at.IsZero() {
			return "at once"
		}
		return at.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
	}
	return field("run after", show(at), func(r *queue.Row) string { return show(r.RunAfter) })
}

// Times makes RequireEnqueued require n tasks, at least 1, that match; without it one.
func Times(n int) Match { return Match{times: n} }
