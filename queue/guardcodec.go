package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// guardedCodec is the codec of a client. A panic of the program's own is an error: it is
// called in goroutines of this package, too, where it would end the process, in which other
// tasks run, and do so again at the next attempt.
type guardedCodec struct {
	codec Codec
	keys  []string
}

// guarded returns the codec as the client calls it; nil for nil.
func guarded(codec Codec) Codec {
	if codec == nil {
		return nil
	}
	return &guardedCodec{codec, codec.Keys()}
}

func (g *guardedCodec) Keys() []string { return g.keys }

func (g *guardedCodec) Seal(ctx context.Context, key string, bound, plain []byte) (sealed []byte, err error) {
	defer contained("Seal", &err)
	return g.codec.Seal(ctx, key, bound, plain)
}

func (g *guardedCodec) Open(ctx context.Context, key string, bound, sealed []byte) (plain []byte, err error) {
	defer contained("Open", &err)
	return g.codec.Open(ctx, key, bound, sealed)
}

func (g *guardedCodec) Hash(data []byte) []byte { return g.codec.Hash(data) }

// hashed is the codec's keyed hash. Hash has no error, and its panic must not be a hash.
func hashed(codec Codec, data []byte) (hash []byte, err error) {
	defer contained("Hash", &err)
	return codec.Hash(data), nil
}

// contained makes the panic of a codec the error of its caller.
func contained(method string, err *error) {
	if value := recover(); value != nil {
		*err = &PanicError{Value: fmt.Sprintf("Config.Codec.%s: %v", method, value), Stack: debug.Stack()}
	}
}

// codecError is an error of the codec: that of a service with the keys, for example, which
// may answer at the next attempt.
type codecError struct{ error }

func (e *codecError) Unwrap() error { return e.error }

// permanent marks the error of a value that cannot be stored, but not that of the codec.
func permanent(err error) error {
	if failed := (*codecError)(nil); err == nil || errors.As(err, &failed) {
		return err
	}
	return Discard(err)
}
