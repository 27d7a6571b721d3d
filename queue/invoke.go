package queue

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
)

// result is how one call of a task's function ended.
type result struct {
	value   json.RawMessage
	failure *failure // nil when it returned a value
}

// errGoexit is the value of the PanicError for runtime.Goexit, which ends a
// function without a panic and without a return.
var errGoexit = errors.New("the task called runtime.Goexit (or FailNow of package testing)")

// invoke runs the function in a goroutine of its own, since Goexit must not
// take the caller's along and since a caller may have to go on before a function
// that does not heed its context has returned. What an error means is found out
// there too: its methods are the task's code as well, and may panic. The channel
// gets one result.
func invoke(ctx context.Context, d definition, row *Row) <-chan result {
	done := make(chan result, 1)
	if row.Invalid != nil {
		done <- result{failure: notCalled(row)}
		return done
	}
	go func() {
		returned := false
		var r result
		defer func() {
			if !returned {
				value := recover()
				if value == nil {
					value = errGoexit
				}
				r = result{failure: judge(&PanicError{Value: value, Stack: debug.Stack()})}
			}
			done <- r
		}()
		value, err := d.run(ctx, row.Args)
		r = result{value: value}
		if err != nil {
			r.failure = judge(err)
		}
		returned = true
	}()
	return done
}
