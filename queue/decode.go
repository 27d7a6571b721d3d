package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// decodeOf decodes a value of a row. If the row is encrypted, the error names the place and
// the type, and has nothing of the value: it becomes a part of the row's errors, and of the
// log, which are in plain text.
func decodeOf[T any](row *Row, data json.RawMessage) (T, error) {
	value, err := jsonvalue.Decode[T](data)
	if err == nil || row.KeyID == "" {
		return value, err
	}
	var none T // value may be a part
	hidden := errors.New(jsonvalue.Mismatch(data, reflect.TypeFor[T]()) + "; the value is left out, since the task is encrypted")
	if discard := (*discardError)(nil); errors.As(err, &discard) {
		return none, Discard(hidden)
	}
	return none, hidden
}

// hiding returns an error of a value that is to be stored with a row, as decodeOf returns
// those of stored ones.
func hiding(row *Row, err error) error {
	var problem *jsonvalue.Problem
	if row.KeyID == "" || !errors.As(err, &problem) {
		return err
	}
	return invalid(fmt.Errorf("%w; where and why is left out, since the task is encrypted", problem.Hidden()))
}

// decodeArgs decodes the arguments of the run whose function is to get ctx.
func decodeArgs[In any](ctx context.Context, args json.RawMessage) (In, error) {
	if r := runFrom(ctx); r != nil {
		return decodeOf[In](r.row, args)
	}
	return jsonvalue.Decode[In](args)
}
