package storetest

import (
	"bytes"
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
)

// sealKeys are keys that are the same in all clients of a test.
type sealKeys struct {
	hash []byte
	keys map[string]aead.Key
}

func newSealKeys() *sealKeys {
	return &sealKeys{hash: bytes.Repeat([]byte{9}, aead.KeyBytes), keys: make(map[string]aead.Key)}
}

// shortIDs is a codec whose keys have the IDs that a test writes.
type shortIDs struct {
	*aead.Keyring
	full map[string]string
}

// codec has the keys of these IDs, the first for new rows.
func (s *sealKeys) codec(f *fixture, ids ...string) shortIDs {
	f.Helper()
	codec := shortIDs{full: make(map[string]string)}
	var keys []aead.Key
	for _, id := range ids {
		if _, known := s.keys[id]; !known {
			s.keys[id] = aead.NewKey(id)
		}
		keys = append(keys, s.keys[id])
		codec.full[id] = s.keys[id].FullID()
	}
	var err error
	codec.Keyring, err = aead.New(s.hash, keys...)
	f.must(err)
	return codec
}

func (c shortIDs) Keys() []string {
	ids := c.Keyring.Keys()
	for i := range ids {
		ids[i] = aead.ShortID(ids[i])
	}
	return ids
}

func (c shortIDs) Seal(ctx context.Context, key string, bound, plain []byte) ([]byte, error) {
	return c.Keyring.Seal(ctx, c.full[key], bound, plain)
}

func (c shortIDs) Open(ctx context.Context, key string, bound, sealed []byte) ([]byte, error) {
	return c.Keyring.Open(ctx, c.full[key], bound, sealed)
}

// program is a client with an executor, which have keys.
type program struct {
	*fixture
	*queue.Client
	exec *queue.Executor
}

func (f *fixture) program(cfg queue.Config, tasks ...queue.Definition) *program {
	f.Helper()
	client := f.clientOf(cfg, tasks...)
	exec, err := queue.NewExecutor(client, queue.ExecutorConfig{})
	f.must(err)
	return &program{f, client, exec}
}

func (p *program) enqueue(task string, args any, opts ...queue.Option) *queue.Handle {
	p.Helper()
	handle, err := p.Enqueue(p.ctx, task, args, opts...)
	p.must(err)
	return handle
}

func (p *program) run(id uuid.UUID) *queue.Run {
	p.Helper()
	run, err := p.exec.RunByID(p.ctx, id, queue.RunOptions{})
	p.must(err)
	return run
}

// secret is what no column may contain.
const secret = "4711-0815"

// wantSealed checks that the values of a row are stored encrypted.
func (f *fixture) wantSealed(id uuid.UUID, key string) *queue.Row {
	f.Helper()
	row := f.get(id)
	for _, value := range [][]byte{row.Args, row.ReturnValue} {
		if len(value) > 0 && (!bytes.HasPrefix(value, []byte(`"claimcheck:1:`+key+`:`)) || bytes.Contains(value, []byte(secret))) {
			f.Errorf("stored: %s", value)
		}
	}
	f.equal("key_id", row.KeyID, key)
	if strings.Contains(row.UniqueKey, secret) {
		f.Errorf("unique_key %s", row.UniqueKey)
	}
	return row
}

func echo(name string, opts ...queue.Option) *queue.Task[string, string] {
	return queue.NewTask(name, func(_ context.Context, in string) (string, error) { return in, nil }, opts...)
}
