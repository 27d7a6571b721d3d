package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// MaxDepth is how deep arrays and objects may be nested in arguments and return
// values: 31 levels. MariaDB refuses to look into deeper JSON.
const MaxDepth = jsonvalue.MaxDepth

// CheckJSON reports whether every supported database keeps data unchanged: one
// JSON value in valid UTF-8, nested at most [MaxDepth] deep, without U+0000 and
// lone surrogates (PostgreSQL refuses both), its numbers within the range of a
// double. Enqueue checks arguments like this; a program that accepts JSON from
// elsewhere can do so earlier. The error is [ErrInvalid] and names the place, as
// in args.user.name, where name ("args") is what the value is called.
func CheckJSON(name string, data []byte) error { return invalid(jsonvalue.Check(name, data)) }

// encodeArgs checks and encodes the arguments of a task. The warnings name fields
// that its type does not have.
func (c *Client) encodeArgs(d *definition, v any) (args json.RawMessage, warnings []string, err error) {
	if args, err = encode("args", v); err != nil {
		return nil, nil, err
	}
	if len(args) > c.cfg.MaxBytes {
		return nil, nil, invalidf("args are %d bytes of JSON; at most %d are accepted", len(args), c.cfg.MaxBytes)
	}
	if err := jsonvalue.CheckEncoded("args", args); err != nil {
		return nil, nil, invalid(err)
	}
	if d.roundTrips != nil && reflect.TypeOf(v) == d.roundTrips {
		return args, nil, nil
	}
	if err := d.check(args); err != nil {
		return nil, nil, invalidf("args of %s: %w", d.name, err)
	}
	warnings = jsonvalue.UnknownFields("args", d.in, args)
	if len(warnings) > 0 && (c.cfg.StrictArgs || d.options.strictArgs) {
		return nil, nil, invalidf("args of %s: %s", d.name, strings.Join(warnings, "; "))
	}
	return args, warnings, nil
}

// checkResult refuses a return value that the row could not keep. The value is
// what encode returned.
func checkResult(value json.RawMessage, limit int) error {
	if len(value) > limit {
		return fmt.Errorf("the return value is %d bytes of JSON; at most %d are accepted", len(value), limit)
	}
	return invalid(jsonvalue.CheckEncoded("return value", value))
}

// encode returns v as compact JSON; name is what errors call it.
func encode(name string, v any) (json.RawMessage, error) {
	data, err := jsonvalue.Encode(name, v)
	return data, invalid(err)
}

// SameRequest reports whether a and b are the same task with the same
// arguments, whatever the order of keys and the white space in them.
func SameRequest(a, b *Row) bool {
	if a.Group != b.Group {
		return false
	}
	if a.Dropped() { // only the same text has the same sum
		return a.Task == b.Task && bytes.Equal(a.Args, DroppedArgs(b.Args))
	}
	return a.Task == b.Task && jsonvalue.Equal(a.Args, b.Args)
}

// StrictArgs makes Enqueue refuse arguments with fields that the task's type
// does not have, at any depth: encoding/json ignores them, so a misspelt field
// runs with its zero value. [Config].StrictArgs does it for every task; without
// either, [Handle].Warnings lists the fields. Maps, interfaces, json.RawMessage
// and types with their own UnmarshalJSON or UnmarshalText accept every field.
// Stored rows are not checked again when they run, so that a version whose type
// has lost a field still runs the rows of an older one. It belongs to [NewTask]
// or [Declare].
func StrictArgs() Option { return func(o *options) { o.strictArgs = true } }

// checkType panics when JSON cannot store values of a task's type, or loses them.
func checkType[T any](task, what string) {
	if problem := typeProblem[T](what); problem != "" {
		panic(fmt.Sprintf("queue: task %q: %s", task, problem))
	}
}

// typeProblem says why JSON cannot store values of a type, or loses them; empty if it can.
func typeProblem[T any](what string) string {
	t := reflect.TypeFor[T]()
	if path, part := jsonvalue.UnsupportedPart(what, t); part != nil {
		remedy := "use data that JSON can store, such as an ID or a name"
		if path != what {
			remedy += ", or exclude the field with the tag `json:\"-\"`"
		}
		return fmt.Sprintf("%s has the type %s, which JSON cannot store: %s", path, part, remedy)
	}
	if path := jsonvalue.LostField(what, t); path != "" {
		return fmt.Sprintf("%s (%s) has only unexported fields, which encoding/json does not store, so its values would be lost: begin the names of the fields with capital letters, with tags such as `json:\"user_id\"`", path, t)
	}
	return ""
}
