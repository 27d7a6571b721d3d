package queue

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

// A sealed value is stored as a JSON string:
//
//	"claimcheck:1:KEY:PLACE:BASE64"
//
// KEY is the ID of its key, and PLACE what it is bound to: row is the row, schedule the
// schedule whose arguments are the same for all its rows. The row has the ID of the key in
// a column, too, by which claims leave it out; a row without is not encrypted, whatever its
// values look like.

// sealedPrefix is how each begins.
const sealedPrefix = `"claimcheck:1:`

// The places.
const (
	placeRow      = "row"
	placeSchedule = "schedule"
)

// sealKind is what a value is.
type sealKind string

const (
	argsKind       sealKind = "args"
	resultKind     sealKind = "result"
	checkpointKind sealKind = "checkpoint"
)

// sealed is a stored value in its parts.
type sealed struct {
	key, place string
	data       []byte
}

// parseSealed returns the parts of a sealed value.
func parseSealed(stored []byte) (s sealed, ok bool) {
	rest, ok := bytes.CutPrefix(stored, []byte(sealedPrefix))
	if !ok || !bytes.HasSuffix(rest, []byte(`"`)) {
		return s, false
	}
	parts := strings.Split(string(rest[:len(rest)-1]), ":")
	if len(parts) != 3 || !ValidKeyID(parts[0]) || parts[1] != placeRow && parts[1] != placeSchedule {
		return s, false
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[2])
	return sealed{parts[0], parts[1], data}, err == nil
}

// String returns the stored value.
func (s sealed) String() string {
	return sealedPrefix + s.key + ":" + s.place + ":" + base64.RawURLEncoding.EncodeToString(s.data) + `"`
}

// keyOfSealed returns the ID of the key of a sealed value; empty for any other.
func keyOfSealed(stored []byte) string {
	if !bytes.HasPrefix(stored, []byte(sealedPrefix)) {
		return ""
	}
	s, _ := parseSealed(stored)
	return s.key
}

// bound is the context that a value of a row is sealed with. The parts have no zero bytes.
func bound(kind sealKind, place string, row *Row) []byte {
	where := row.ID.String()
	if place == placeSchedule {
		where = row.Schedule
	}
	return []byte(strings.Join([]string{"claimcheck/1", string(kind), row.Task, place, where}, "\x00"))
}

// sealAt seals a value with a key, bound to a place.
func sealAt(ctx context.Context, codec Codec, key string, kind sealKind, place string, row *Row, plain json.RawMessage) (json.RawMessage, error) {
	data, err := codec.Seal(ctx, key, bound(kind, place, row), plain)
	if err != nil {
		return nil, &codecError{fmt.Errorf("encrypt %s of task %s with key %s: %w", kind, row.Task, key, err)}
	}
	return json.RawMessage(sealed{key, place, data}.String()), nil
}

// sealValue returns how a value of a stored row is stored: sealed with the row's key, or
// as it is, if the row is not encrypted.
func (c *Client) sealValue(ctx context.Context, row *Row, kind sealKind, plain json.RawMessage) (json.RawMessage, error) {
	if row.KeyID == "" || plain == nil {
		return plain, nil
	}
	if !c.Knows(row) {
		return nil, unknownKey(row.KeyID)
	}
	return sealAt(ctx, c.cfg.Codec, row.KeyID, kind, placeRow, row, plain)
}

// sealResult is sealValue of a return value that can be stored. Another one is left to what
// refuses it. An error of the codec fails the attempt: the function has returned, and the
// next attempt calls it again.
func (c *Client) sealResult(ctx context.Context, row *Row, value json.RawMessage) (json.RawMessage, error) {
	if row.KeyID == "" || checkResult(value, c.cfg.MaxBytes) != nil {
		return value, nil //nolint:nilerr // the finish reports it
	}
	sealed, err := c.sealValue(context.WithoutCancel(ctx), row, resultKind, value)
	if err == nil && len(sealed) > c.cfg.MaxBytes {
		err = Discard(invalidf("the return value is %d bytes of JSON, encrypted %d; at most %d are accepted", len(value), len(sealed), c.cfg.MaxBytes))
	}
	return sealed, err
}

// sealCheckpoint is sealValue of the checkpoint of a run. The size that is stored counts.
func (c *Client) sealCheckpoint(r *activeRun, data json.RawMessage) (json.RawMessage, error) {
	sealed, err := c.sealValue(context.WithoutCancel(r.ctx), r.row, checkpointKind, data)
	if err == nil && len(sealed) > c.cfg.MaxBytes {
		err = fmt.Errorf("the checkpoint is %d bytes of JSON, encrypted %d; at most %d are accepted", len(data), len(sealed), c.cfg.MaxBytes)
	}
	return sealed, err
}

// openValue returns a value of a row that is stored. What is not sealed is returned as it
// is: values of rows that are not encrypted, dropped arguments, and those that OnFailed has
// made, of which openFailed opens the inner ones.
func (c *Client) openValue(ctx context.Context, row *Row, kind sealKind, stored json.RawMessage) (json.RawMessage, error) {
	if row.KeyID == "" || len(stored) == 0 {
		return stored, nil
	}
	if kind == argsKind && stored[0] == '{' {
		return c.openFailed(ctx, row, stored)
	}
	return openWith(ctx, c.cfg.Codec, row, kind, stored)
}

// openWith opens a value that may be sealed.
func openWith(ctx context.Context, codec Codec, row *Row, kind sealKind, stored json.RawMessage) (json.RawMessage, error) {
	s, ok := parseSealed(stored)
	if !ok {
		return stored, nil
	}
	if codec == nil || !slices.Contains(codec.Keys(), s.key) {
		return nil, unknownKey(s.key)
	}
	plain, err := codec.Open(ctx, s.key, bound(kind, s.place, row), s.data)
	if err != nil {
		return nil, &codecError{fmt.Errorf("decrypt %s of task %s with key %s: %w", kind, row.ID, s.key, err)}
	}
	return plain, nil
}

// openFailed opens the arguments in those that OnFailed has made: the Failed of a row that
// was encrypted. It does so only for a task that takes a Failed, since anyone who can write
// to the table can copy the encrypted arguments of a row into a Failed, in a row of any task.
func (c *Client) openFailed(ctx context.Context, row *Row, stored json.RawMessage) (json.RawMessage, error) {
	failed, err := jsonvalue.Decode[Failed](stored)
	if err != nil || !failed.sealed() {
		return stored, nil //nolint:nilerr // then it is no Failed
	}
	if d, known := c.registry.lookup(row.Task); !known || d.in != reflect.TypeFor[Failed]() {
		return nil, Discard(fmt.Errorf("the arguments have encrypted ones of task %s in them, which are decrypted only for a registered task that takes a queue.Failed: %s is not one in this program", failed.Task, row.Task))
	}
	of := &Row{ID: failed.ID, Task: failed.Task, Schedule: failed.Schedule}
	if failed.Args, err = openWith(ctx, c.cfg.Codec, of, argsKind, failed.Args); err != nil {
		return nil, err
	}
	return json.Marshal(failed)
}

// unknownKeyError is ErrUnknownKey with the key.
type unknownKeyError struct{ key string }

func unknownKey(key string) error { return &unknownKeyError{key} }

func (e *unknownKeyError) Error() string {
	return fmt.Sprintf("the task is encrypted with key %s, which this program does not have", e.key)
}

func (e *unknownKeyError) Is(target error) bool { return target == ErrUnknownKey }

// Decrypted says which values of a [Row] with a KeyID a [Client] has decrypted. What a value
// looks like does not tell: a caller may enqueue a string that looks encrypted.
type Decrypted struct{ Args, ReturnValue, Checkpoint bool }

// reveal opens the arguments, the return value and the checkpoint of a row for its reader.
// Arguments that cannot be opened stay sealed, the others are left out, and Unreadable says
// why.
func (c *Client) reveal(ctx context.Context, row *Row) {
	if row == nil || row.KeyID == "" {
		return
	}
	for _, v := range []struct {
		kind  sealKind
		value *json.RawMessage
		done  *bool
	}{
		{argsKind, &row.Args, &row.Decrypted.Args},
		{resultKind, &row.ReturnValue, &row.Decrypted.ReturnValue},
		{checkpointKind, &row.Checkpoint, &row.Decrypted.Checkpoint},
	} {
		if *v.done {
			continue
		}
		plain, err := c.openValue(ctx, row, v.kind, *v.value)
		switch *v.done = err == nil; {
		case *v.done:
			*v.value = plain
		case v.kind != argsKind:
			*v.value = nil
			fallthrough
		default:
			row.Unreadable = cleanText(err.Error(), maxTextBytes)
		}
	}
}

// ArgsSealed reports whether the Args of the row are still encrypted, or have a part that is:
// Unreadable says why they could not be decrypted. They are not to be shown then, nor used
// for another task.
func (r *Row) ArgsSealed() bool {
	if r.KeyID == "" || r.Decrypted.Args || len(r.Args) == 0 {
		return false
	}
	if r.Args[0] == '{' {
		failed, err := jsonvalue.Decode[Failed](r.Args)
		return err == nil && failed.sealed()
	}
	return keyOfSealed(r.Args) != ""
}

// sealing is what was sealed as the arguments of a new row.
type sealing struct{ plain json.RawMessage }

// sealRows seals the arguments of new rows, just before they are stored. The size that is
// stored counts.
func (c *Client) sealRows(ctx context.Context, rows []*NewRow) error {
	if c.cfg.Codec == nil {
		return nil
	}
	for i, row := range rows {
		row.codec = c.cfg.Codec
		if err := c.sealRow(ctx, row); err != nil {
			return &RequestError{Index: i, Err: err}
		}
	}
	return nil
}

func (c *Client) sealRow(ctx context.Context, row *NewRow) error {
	d, known := c.registry.lookup(row.Task)
	if !known || !c.encrypts(&d) || row.sealing != nil {
		return nil
	}
	plain := row.Args
	args, err := sealAt(ctx, c.cfg.Codec, c.keys[0], argsKind, placeRow, row.Row, plain)
	if err != nil {
		return err
	}
	if len(args) > c.cfg.MaxBytes {
		return invalidf("args are %d bytes of JSON, encrypted %d; at most %d are accepted", len(plain), len(args), c.cfg.MaxBytes)
	}
	row.Args, row.KeyID, row.sealing, row.codec = args, c.keys[0], &sealing{plain}, c.cfg.Codec
	return nil
}

// revealRows opens the arguments of rows that were stored, or found.
func (c *Client) revealRows(ctx context.Context, rows []*NewRow) {
	if c.cfg.Codec == nil {
		return
	}
	for _, row := range rows {
		if row.sealing != nil && !row.Existed && row.KeyID != "" {
			row.Args, row.Decrypted.Args = row.sealing.plain, true
		} else {
			c.reveal(ctx, row.Row)
		}
	}
}

// ReplacedArgs returns the arguments, and the ID of their key, that replace those of the row
// which holds the key of r ([ReplaceExisting]). Encrypted arguments are bound to the row that
// has them. Stores call it.
func (r *NewRow) ReplacedArgs(ctx context.Context, holder *Row) (args json.RawMessage, keyID string, err error) {
	if r.sealing == nil {
		return r.Args, r.KeyID, nil
	}
	args, err = sealAt(ctx, r.codec, r.KeyID, argsKind, placeRow, holder, r.sealing.plain)
	return args, r.KeyID, err
}

// Matches reports whether the row that is stored under the ID of r is the same task with the
// same arguments: [SameRequest] of what both are without encryption. Arguments that cannot
// be decrypted are not the same. Stores call it.
func (r *NewRow) Matches(ctx context.Context, stored *Row) bool {
	if r.sealing == nil && (stored.KeyID == "" || stored.KeyID == r.KeyID) { // those of one schedule
		return SameRequest(stored, r.Row)
	}
	codec, plain := r.codec, r.Args
	if r.sealing != nil {
		plain = r.sealing.plain
	}
	if codec == nil || stored.Task != r.Task || stored.Group != r.Group {
		return false
	}
	if stored.Dropped() {
		want := plain
		if stored.KeyID != "" {
			if !slices.Contains(codec.Keys(), stored.KeyID) {
				return false
			}
			var err error
			if want, err = sealAt(ctx, codec, stored.KeyID, argsKind, placeRow, stored, plain); err != nil {
				return false
			}
		}
		return bytes.Equal(stored.Args, DroppedArgs(want))
	}
	if stored.KeyID == "" {
		return jsonvalue.Equal(stored.Args, plain)
	}
	opened, err := openWith(ctx, codec, stored, argsKind, stored.Args)
	return err == nil && jsonvalue.Equal(opened, plain)
}

// keyedHash is the hash of the arguments of a task that are encrypted, in UniqueArgs.
func (c *Client) keyedHash(d *definition, args json.RawMessage) (string, error) {
	hash, err := hashed(c.cfg.Codec, slices.Concat([]byte("unique\x00"+d.name+"\x00"), jsonvalue.Canonical(args)))
	return "hmac-sha256:" + hex.EncodeToString(hash), err
}
