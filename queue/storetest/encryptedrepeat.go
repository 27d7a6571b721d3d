package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// encryptedRepeatTests are about rows that are enqueued again, encrypted.
var encryptedRepeatTests = map[string]func(*fixture){
	"a repeated id compares what is decrypted": func(f *fixture) {
		keys, task := newSealKeys(), queue.NewTask("t", func(_ context.Context, in map[string]int) (any, error) { return nil, nil }, queue.Keep(0, 0))
		plain, sealed := uuid.New(), uuid.New()
		one, same, other := json.RawMessage(`{"a":1,"b":2}`), json.RawMessage(`{ "b":2, "a":1 }`), json.RawMessage(`{"a":1,"b":3}`)
		f.program(queue.Config{}, task).enqueue("t", one, queue.WithID(plain))
		old := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task)
		old.enqueue("t", one, queue.WithID(sealed))
		rotated := f.program(queue.Config{Codec: keys.codec(f, "k2", "k1")}, task)
		marked := f.program(queue.Config{Codec: keys.codec(f, "k1"), EncryptMarked: true}, task)
		for name, p := range map[string]*program{"the same key": old, "a later key": rotated, "no longer encrypted": marked} {
			for kind, id := range map[string]uuid.UUID{"plain": plain, "sealed": sealed} {
				handle := p.enqueue("t", same, queue.WithID(id))
				f.equal(name+", "+kind, handle.Existed, true)
				f.equal(name+", "+kind+": args", string(handle.Row.Args), string(one))
				if _, err := p.Enqueue(f.ctx, "t", other, queue.WithID(id)); !errors.Is(err, queue.ErrIDConflict) {
					f.Errorf("%s, %s: %v", name, kind, err)
				}
			}
		}
		strange := f.program(queue.Config{Codec: keys.codec(f, "k3")}, task)
		_, err := strange.Enqueue(f.ctx, "t", same, queue.WithID(sealed))
		if !errors.Is(err, queue.ErrIDConflict) || !strings.Contains(err.Error(), "k1, which this program does not have") {
			f.Errorf("with a strange key: %v", err)
		}

		// Without any key.
		_, err = f.program(queue.Config{}, task).Enqueue(f.ctx, "t", same, queue.WithID(sealed))
		var conflict *queue.IDConflictError
		if !errors.As(err, &conflict) || conflict.KeyID != "k1" || !strings.Contains(err.Error(), "k1, which this program does not have") {
			f.Errorf("without keys: %v", err)
		}
		f.equal("its row", conflict.Row.ID, sealed)

		// Once ended, the arguments are dropped, and only a hash is left.
		if _, ok := f.store.(queue.Lifecycle); !ok {
			return
		}
		for kind, id := range map[string]uuid.UUID{"plain": plain, "sealed": sealed} {
			old.run(id)
			for name, p := range map[string]*program{"the same key": old, "a later key": rotated, "no longer encrypted": marked} {
				f.equal(name+", dropped, "+kind, p.enqueue("t", one, queue.WithID(id)).Existed, true)
				if _, err := p.Enqueue(f.ctx, "t", other, queue.WithID(id)); !errors.Is(err, queue.ErrIDConflict) {
					f.Errorf("%s, dropped, %s: %v", name, kind, err)
				}
			}
		}
		for name, p := range map[string]*program{"a strange key": strange, "no key": f.program(queue.Config{}, task)} {
			_, err := p.Enqueue(f.ctx, "t", one, queue.WithID(sealed))
			if !errors.As(err, &conflict) || conflict.KeyID != "k1" || !strings.Contains(err.Error(), "not known whether") {
				f.Errorf("dropped, with %s: %v", name, err)
			}
		}
	},
	"repeats in one call are compared, too": func(f *fixture) {
		p := f.program(queue.Config{Codec: newSealKeys().codec(f, "k1")}, echo("t"))
		id := uuid.New()
		request := func(args string) queue.Request {
			return queue.Request{Task: "t", Args: args, Options: []queue.Option{queue.WithID(id)}}
		}
		handles, err := p.EnqueueMany(f.ctx, request("a"), request("a"))
		f.must(err)
		f.equal("existed", []bool{handles[0].Existed, handles[1].Existed}, []bool{false, true})
		f.equal("args", string(handles[1].Row.Args), `"a"`)
		var refused *queue.RequestError
		id = uuid.New()
		if _, err := p.EnqueueMany(f.ctx, request("a"), request("b")); !errors.Is(err, queue.ErrIDConflict) || !errors.As(err, &refused) || refused.Index != 1 {
			f.Errorf("got %v", err)
		}
	},
	"UniqueArgs is a keyed hash that survives a rotation": func(f *fixture) {
		keys, task := newSealKeys(), echo("t", queue.UniqueArgs())
		old := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task)
		first := old.enqueue("t", secret)
		if !strings.HasPrefix(first.Row.UniqueKey, "hmac-sha256:") {
			f.Errorf("key %s", first.Row.UniqueKey)
		}
		rotated := f.program(queue.Config{Codec: keys.codec(f, "k2", "k1")}, task)
		again := rotated.enqueue("t", secret)
		f.equal("again", []any{again.Existed, again.ID, string(again.Row.Args)}, []any{true, first.ID, `"` + secret + `"`})
		f.equal("another", rotated.enqueue("t", "other").Existed, false)
	},
	"replaced arguments are bound to the row that has them": func(f *fixture) {
		keys, task := newSealKeys(), echo("t")
		first := f.program(queue.Config{Codec: keys.codec(f, "k1")}, task).enqueue("t", "first", queue.Unique("u"))
		p := f.program(queue.Config{Codec: keys.codec(f, "k2", "k1")}, task)
		second := p.enqueue("t", secret, queue.Unique("u", queue.OnConflict(queue.ReplaceExisting)))
		f.equal("replaced", []any{second.ID, second.Existed, string(second.Row.Args)}, []any{first.ID, true, `"` + secret + `"`})
		f.wantSealed(first.ID, "k2")
		f.equal("ran", string(p.run(first.ID).Row.ReturnValue), `"`+secret+`"`)

		_, err := p.Enqueue(f.ctx, "t", "third", queue.Unique("u2"))
		f.must(err)
		var duplicate *queue.DuplicateError
		if _, err := p.Enqueue(f.ctx, "t", "fourth", queue.Unique("u2", queue.OnConflict(queue.RefuseDuplicate))); !errors.As(err, &duplicate) || string(duplicate.Row.Args) != `"third"` {
			f.Errorf("got %v", err)
		}
	},
}
