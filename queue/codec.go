package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/claimcheck-go/claimcheck/internal/plainname"
)

// Codec encrypts the arguments, return values and checkpoints of tasks before they are
// stored, and decrypts them: package queue/aead has one. It is safe for concurrent use.
//
// Each value is bound to its place by context: what it is, and of which row. Open must
// fail for a value that was sealed with another context, so that values cannot be moved
// between rows. Seal should return the same for the same key, context and value; otherwise
// a repeated [WithID] of a row that [Row.Dropped] is not recognized. A panic of a method is
// an error of it ([*PanicError]).
type Codec interface {
	// Keys returns the IDs of the keys that Open knows, the one for new rows first: 1 to 64
	// letters, digits, "-", "_" or ".". The list does not change. An ID means one secret for
	// ever: rows wait for a program with their key's ID, and fail where that has another one.
	Keys() []string
	// Seal encrypts a value with a key of Keys. An error is that of the enqueue. In a run,
	// where the return value or a checkpoint is sealed, it fails the attempt: the next one
	// calls the function again, whatever effects it has had, so an implementation
	// that asks a service for keys should keep them, or repeat its requests.
	Seal(ctx context.Context, key string, bound, plain []byte) ([]byte, error)
	// Open decrypts what Seal has returned. An error fails the attempt of a task: with
	// [Discard] for good, as it should be for a value that is not what Seal returned. A
	// reader gets the row with the error in [Row].Unreadable.
	Open(ctx context.Context, key string, bound, sealed []byte) ([]byte, error)
	// Hash returns a keyed hash of data, for [UniqueArgs] and for definitions of schedules.
	// Its key is not among Keys and never changes: the same data has the same hash for ever.
	Hash(data []byte) []byte
}

// Encrypt says whether the task's arguments, return values and checkpoints are encrypted:
// with true, a client without [Config].Codec refuses to enqueue it ([ErrInvalid]), and false
// excludes the task where the Codec encrypts all tasks. It is an option of [NewTask] or [Declare].
//
// A row is encrypted, or is not, as it was enqueued; the codec of the client that enqueues
// it counts. docs/encryption.md lists what is stored in plain text all the same.
func Encrypt(yes bool) Option {
	return func(o *options) { o.encrypt = &yes }
}

// KeyCounter is a [Store] that keeps [Row].KeyID, and claims no row with a key that a
// request does not have (ClaimRequest.Keys, ClaimNextRequest.Keys, AdmitRequest.Keys):
// [Config].Codec requires it.
type KeyCounter interface {
	// CountKeys counts the rows that have a KeyID, ordered by it.
	CountKeys(ctx context.Context) ([]KeyCount, error)
}

// KeyCount is how many rows are encrypted with a key.
type KeyCount struct {
	KeyID string
	Live  int // READY or RUNNING
	Ended int
	// Schedules whose arguments are, and groups that have still to enqueue a task whose
	// arguments are; [Client.CountKeys] counts them.
	Schedules, Groups int
}

// checkCodec returns the error of a codec, or of tasks, that cannot encrypt.
func (cfg *Config) checkCodec() error {
	if cfg.Codec == nil {
		if cfg.EncryptMarked {
			return errors.New("queue: Config.EncryptMarked needs Config.Codec")
		}
		return nil
	}
	if _, ok := cfg.Store.(KeyCounter); !ok {
		return fmt.Errorf("queue: Config.Codec: %w: %T is no queue.KeyCounter", ErrUnsupported, cfg.Store)
	}
	keys := cfg.Codec.Keys()
	if len(keys) == 0 {
		return errors.New("queue: Config.Codec has no keys: its Keys must return at least one")
	}
	for i, key := range keys {
		if !ValidKeyID(key) || slices.Contains(keys[:i], key) {
			return fmt.Errorf(`queue: Config.Codec: %.80q is not a key ID: use 1 to 64 letters, digits, "-", "_" or ".", and each ID once`, key)
		}
	}
	return nil
}

// keys returns the IDs of the codec's keys.
func (cfg *Config) keys() []string {
	if cfg.Codec == nil {
		return nil
	}
	return cfg.Codec.Keys()
}

// ValidKeyID reports whether a key of a [Codec] can have this ID.
func ValidKeyID(id string) bool { return plainname.Valid(id, 64, "_.-") }

// Keys returns the IDs of the keys that the client has, the one for new rows first; none
// without [Config].Codec.
func (c *Client) Keys() []string {
	if c.check() != nil {
		return nil
	}
	return slices.Clone(c.keys)
}

// Reveal decrypts rows that were read from the store itself ([Operator].List), as [Client.Get]
// does: for a search among the rows of its window. It returns how many could not be read;
// their Unreadable says why.
func (c *Client) Reveal(ctx context.Context, rows ...*Row) (unreadable int) {
	if c.check() != nil {
		return 0
	}
	for _, row := range rows {
		if c.reveal(ctx, row); row.Unreadable != "" {
			unreadable++
		}
	}
	return unreadable
}

// Knows reports whether the client can decrypt what a row has; also of one that is not
// encrypted.
func (c *Client) Knows(row *Row) bool {
	return row.KeyID == "" || c.check() == nil && slices.Contains(c.keys, row.KeyID)
}

// mustEncrypt reports whether the task must not be stored in plain text.
func (d *definition) mustEncrypt() bool { return d.options.encrypt != nil && *d.options.encrypt }

// Encrypts reports whether a task's arguments, return values and checkpoints are stored
// encrypted.
func (c *Client) Encrypts(task string) bool {
	if c.check() != nil {
		return false
	}
	d, ok := c.registry.lookup(task)
	return ok && c.encrypts(&d)
}

// encrypts reports whether new rows of a task are encrypted.
func (c *Client) encrypts(d *definition) bool {
	switch {
	case c.cfg.Codec == nil:
		return false
	case d.options.encrypt != nil:
		return *d.options.encrypt
	}
	return !c.cfg.EncryptMarked
}
