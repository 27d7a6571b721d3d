package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// MaxUniqueKey is how many bytes the key of [Unique] may have.
const MaxUniqueKey = 200

// Conflict is what an enqueue does when another row of the task holds its key.
type Conflict int

// The conflicts, for [OnConflict].
const (
	// ReturnExisting returns the row that holds the key, whatever its arguments are,
	// and sets [Handle].Existed. It is the default.
	ReturnExisting Conflict = iota
	// ReplaceExisting gives that row the arguments, their limit key, the priority, the time
	// and the expiry of this enqueue while it is READY, and dispatches it again;
	// Handle.Existed is set, too. A row that is RUNNING or has ended is not changed: the
	// error is a [*DuplicateError].
	ReplaceExisting
	// RefuseDuplicate returns a [*DuplicateError].
	RefuseDuplicate
)

// Unique gives the task an idempotency key: 1 to [MaxUniqueKey] bytes of UTF-8. While a
// row of the same task holds the key, no other one is stored; [OnConflict] says what an
// enqueue does instead. A row holds its key until it has ended, unless [UniqueFor] or
// [WhileKept] says otherwise; what counts is how the stored row was enqueued. [WithID]
// is judged first. Unique is an option of Enqueue, and overrides [UniqueBy] and
// [UniqueArgs] of the task.
func Unique(key string, opts ...UniqueOption) Option {
	return unique(uniqueness{key: key}, opts)
}

// UniqueBy derives the key of [Unique] from the arguments: an empty key is none. It is
// usually an option of [NewTask] or [Declare], whose arguments must have the type In.
func UniqueBy[In any](key func(In) string, opts ...UniqueOption) Option {
	return unique(uniqueness{in: reflect.TypeFor[In](), derive: func(args json.RawMessage) (string, error) {
		in, err := jsonvalue.Decode[In](args)
		if err != nil {
			return "", err
		}
		return key(in), nil
	}}, opts)
}

// UniqueArgs makes the arguments the key of [Unique]: "sha256:" and the hash of their
// JSON, whatever the order of its fields and the white space in it. For a task that is
// encrypted ([Config].Codec) it is "hmac-sha256:" and a keyed hash. It is usually an option
// of [NewTask] or [Declare].
func UniqueArgs(opts ...UniqueOption) Option {
	return unique(uniqueness{ofArgs: true, derive: func(args json.RawMessage) (string, error) {
		sum := sha256.Sum256(jsonvalue.Canonical(args))
		return "sha256:" + hex.EncodeToString(sum[:]), nil
	}}, opts)
}

// UniqueOption is an option of [Unique], [UniqueBy] and [UniqueArgs].
type UniqueOption func(*uniqueness)

// UniqueFor makes the row hold its key for d from now, whatever becomes of it: also
// after it has ended, and not longer while it has not. Neither [Keep] nor a purge deletes
// the row before; [Client.Delete] does, and releases the key.
func UniqueFor(d time.Duration) UniqueOption {
	return func(u *uniqueness) { u.scope, u.period, u.periodSet = UniqueKept, d, true }
}

// WhileKept makes the row hold its key until it is deleted, usually by a purge.
func WhileKept() UniqueOption {
	return func(u *uniqueness) { u.scope, u.period, u.periodSet = UniqueKept, 0, false }
}

// OnConflict sets what the enqueue does when another row holds the key.
func OnConflict(c Conflict) UniqueOption { return func(u *uniqueness) { u.conflict = c } }

// uniqueness is the key of an enqueue, or how to derive it.
type uniqueness struct {
	key       string
	derive    func(args json.RawMessage) (string, error) // nil: key is the key
	in        reflect.Type                               // the arguments that derive takes; nil: any
	ofArgs    bool                                       // it is UniqueArgs
	scope     UniqueScope
	period    time.Duration
	periodSet bool
	conflict  Conflict
}

func unique(u uniqueness, opts []UniqueOption) Option {
	u.scope = UniqueUnfinished
	for _, opt := range opts {
		opt(&u)
	}
	return func(o *options) { o.unique = &u }
}

const (
	shortestPeriod = time.Millisecond // below a microsecond no database would end it
	longestPeriod  = 100 * 365 * 24 * time.Hour
)

// check returns the error of what is out of bounds.
func (u *uniqueness) check() error {
	switch {
	case u == nil:
		return nil
	case u.periodSet && (u.period < shortestPeriod || u.period > longestPeriod):
		return invalidf("unique_for must be a positive duration of at least 1ms and at most 100 years, not %s", u.period)
	case u.conflict < ReturnExisting || u.conflict > RefuseDuplicate:
		return invalidf("on_conflict must be ReturnExisting, ReplaceExisting or RefuseDuplicate, not %d", u.conflict)
	case u.derive == nil:
		return checkKey(u.key)
	}
	return nil
}

// checkKey returns the error of a key that not every database can store.
func checkKey(key string) error {
	if key == "" || len(key) > MaxUniqueKey || !utf8.ValidString(key) || strings.Contains(key, "\x00") {
		return invalidf("unique_key must be 1 to %d bytes of UTF-8 without zero bytes, not %d bytes (%.40q)", MaxUniqueKey, len(key), key)
	}
	return nil
}

// fits returns the error of a UniqueBy whose argument is not that of the task.
func (u *uniqueness) fits(in reflect.Type) error {
	if u == nil || u.in == nil || u.in == in {
		return nil
	}
	return invalidf("the function of UniqueBy takes the type %s, and the arguments have the type %s: let it take that", u.in, in)
}

// set gives row the key, unless the arguments have none.
func (u *uniqueness) set(c *Client, row *NewRow, d *definition) error {
	if err := u.fits(d.in); err != nil {
		return err
	}
	key := u.key
	if u.derive != nil {
		var err error
		if u.ofArgs && c.encrypts(d) {
			if key, err = c.keyedHash(d, row.Args); err != nil {
				return err
			}
		} else if key, err = u.derived(row.Args); err != nil {
			return fmt.Errorf("UniqueBy of %s: %w", d.name, err)
		}
		if key == "" {
			return nil
		}
		if err := checkKey(key); err != nil {
			return invalidf("UniqueBy of %s: %w", d.name, err)
		}
	}
	row.UniqueKey, row.UniqueScope, row.UniqueFor, row.OnConflict = key, u.scope, u.period, u.conflict
	return nil
}

// derived calls the function of UniqueBy. A panic of it is a mistake of the program, and
// not of the caller whose arguments it got; other errors are [ErrInvalid].
func (u *uniqueness) derived(args json.RawMessage) (key string, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("its function ended in a %w", &PanicError{Value: value, Stack: debug.Stack()})
		}
	}()
	if key, err = u.derive(args); err != nil {
		err = invalidf("%w", err)
	}
	return key, err
}

// HoldsKey reports whether the row holds its UniqueKey at the database's time now, so
// that no other row of its task can have it.
func (r *Row) HoldsKey(now time.Time) bool {
	switch {
	case r.UniqueKey == "":
		return false
	case r.UniqueScope == UniqueUnfinished:
		return !r.Status.Final() && !r.Expired(now) // then it will be CANCELLED
	case r.UniqueScope == UniqueKept:
		return r.UniqueUntil.IsZero() || r.UniqueUntil.After(now)
	}
	return false
}

// AgainstHolder decides what Insert does with a row whose key another row holds: it
// returns that one, replaces it first, or fails with a [*DuplicateError].
func (r *NewRow) AgainstHolder(holder *Row) (replace bool, err error) {
	switch {
	case r.OnConflict == ReturnExisting:
		return false, nil
	case r.OnConflict == ReplaceExisting && holder.Status == StatusReady:
		return true, nil
	}
	return false, &DuplicateError{ID: r.ID, Row: holder, OnConflict: r.OnConflict}
}

// DuplicateError is [ErrDuplicate] with the row that holds the key. Get it with
// errors.As.
type DuplicateError struct {
	ID         uuid.UUID // of the row that was not stored
	Row        *Row      // the row that holds the key
	OnConflict Conflict  // what the enqueue wanted
	// Earlier is the number, from 1, of the request of the same EnqueueMany that has the
	// key: Row is its row, and was not stored either. 0: Row is stored.
	Earlier int
}

func (e *DuplicateError) Error() string {
	if e.Earlier > 0 {
		return fmt.Sprintf("unique_key %q: request %d of this call has it too, so nothing of the call is stored", e.Row.UniqueKey, e.Earlier)
	}
	text := fmt.Sprintf("unique_key %q: task %s holds it and is %s", e.Row.UniqueKey, e.Row.ID, e.Row.Status)
	if e.OnConflict == ReplaceExisting {
		text += ", and only a READY task can be replaced"
	}
	return text
}

// Is reports whether target is ErrDuplicate.
func (e *DuplicateError) Is(target error) bool { return target == ErrDuplicate }
