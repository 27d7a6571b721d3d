package queue_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
)

// brokenCodec is a codec whose methods call what a test sets.
type brokenCodec struct {
	queue.Codec
	seal, open, hash func() error
}

// newBrokenCodec has the keys of these IDs, and works.
func newBrokenCodec(t *testing.T, ids ...string) *brokenCodec {
	t.Helper()
	works := func() error { return nil }
	return &brokenCodec{newKeyring(t, ids...), works, works, works}
}

// newKeyring has keys that are the same for the same IDs.
func newKeyring(t *testing.T, ids ...string) *aead.Keyring {
	t.Helper()
	var keys []aead.Key
	for _, id := range ids {
		keys = append(keys, aead.Key{ID: id, Secret: bytes.Repeat([]byte(id[:1]+id[len(id)-1:]), aead.KeyBytes/2)})
	}
	keyring, err := aead.New(bytes.Repeat([]byte("h"), aead.KeyBytes), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return keyring
}

func (b *brokenCodec) Seal(ctx context.Context, key string, bound, plain []byte) ([]byte, error) {
	if err := b.seal(); err != nil {
		return nil, err
	}
	return b.Codec.Seal(ctx, key, bound, plain)
}

func (b *brokenCodec) Open(ctx context.Context, key string, bound, sealed []byte) ([]byte, error) {
	if err := b.open(); err != nil {
		return nil, err
	}
	return b.Codec.Open(ctx, key, bound, sealed)
}

func (b *brokenCodec) Hash(data []byte) []byte {
	if b.hash() != nil {
		return nil
	}
	return b.Codec.Hash(data)
}

func panics() error { panic("no answer") }

func TestACodecThatPanicsFailsWhatNeedsIt(t *testing.T) {
	codec := newBrokenCodec(t, "k1")
	sys := newSystem(t, setup{client: queue.Config{Codec: codec}},
		queue.NewTask("t", func(_ context.Context, in string) (string, error) { return in, nil }), queue.NewTask("u", nothing, queue.UniqueArgs()))
	id := sys.enqueue("t", "a")
	works := codec.open

	codec.open = panics
	run := sys.run(id)
	want := "with key " + sys.client.Keys()[0] + ": panic: Config.Codec.Open: no answer"
	if run.Outcome != queue.OutcomeFailed || run.Row.Status != queue.StatusReady || len(run.Row.Errors) != 1 || !strings.Contains(run.Row.Errors[0].Message, want) {
		t.Errorf("run: %s, %s, %+v", run.Outcome, run.Row.Status, run.Row.Errors)
	}
	if e := run.Row.Errors[0]; e.ExceptionClassPath != "*queue.PanicError" || !strings.Contains(e.Traceback, "guardcodec_test.go") {
		t.Errorf("%s: %s", e.ExceptionClassPath, e.Traceback)
	}
	if row := sys.row(id); !strings.Contains(row.Unreadable, want) {
		t.Errorf("unreadable: %q", row.Unreadable)
	}
	codec.open = works

	codec.seal, codec.hash = panics, panics
	if _, err := sys.client.Enqueue(t.Context(), "t", "b"); err == nil || !strings.Contains(err.Error(), "panic: Config.Codec.Seal: no answer") {
		t.Errorf("enqueue: %v", err)
	}
	if _, err := sys.client.Enqueue(t.Context(), "u", nil); err == nil || !strings.Contains(err.Error(), "panic: Config.Codec.Hash: no answer") {
		t.Errorf("enqueue with UniqueArgs: %v", err)
	}
}

// A service with the keys that is away when the function returns costs an attempt, and not
// the task.
func TestAnErrorOfSealIsRetried(t *testing.T) {
	away := func() error { return errors.New("the service is away") }
	for name, task := range map[string]func(context.Context) (string, error){
		"the return value": func(context.Context) (string, error) { return "done", nil },
		"a step": func(ctx context.Context) (string, error) {
			return queue.Step(ctx, "s", func(context.Context) (string, error) { return "done", nil })
		},
		"a checkpoint": func(ctx context.Context) (string, error) { return "done", queue.SaveCheckpoint(ctx, 1) },
		"a continuation": func(ctx context.Context) (string, error) {
			if _, saved, err := queue.Checkpoint[int](ctx); saved || err != nil {
				return "done", err
			}
			return "", queue.Continue(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			codec := newBrokenCodec(t, "k1")
			works := codec.seal
			sys := newSystem(t, setup{client: queue.Config{Codec: codec}}, queue.NewTask("t", func(ctx context.Context, _ any) (string, error) { return task(ctx) }))
			id := sys.enqueue("t", nil)
			codec.seal = away
			run := sys.run(id)
			if run.Outcome != queue.OutcomeFailed || run.Row.Status != queue.StatusReady || len(run.Row.Errors) != 1 || !strings.Contains(run.Row.Errors[0].Message, "the service is away") {
				t.Fatalf("%s, %s, %+v", run.Outcome, run.Row.Status, run.Row.Errors)
			}
			codec.seal = works
			for attempt := 2; attempt <= 3 && run.Row.Status == queue.StatusReady; attempt++ {
				run = sys.run(id)
			}
			if run.Row.Status != queue.StatusSuccessful || string(run.Row.ReturnValue) != `"done"` {
				t.Errorf("%s, %s, %v", run.Row.Status, run.Row.ReturnValue, run.Err)
			}
		})
	}
}
