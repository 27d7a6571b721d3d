package storekit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Key is an idempotency key with the task that it belongs to.
type Key struct{ Task, Key string }

// KeyOf returns the key of a row.
func KeyOf(row *queue.Row) Key { return Key{row.Task, row.UniqueKey} }

// Holder is the row that a unique index has under a key.
type Holder struct {
	Row     *queue.Row
	Expired bool // the time for which it holds the key is over
}

// KeyedInserter are the statements with which a store inserts rows that have keys.
type KeyedInserter interface {
	// Insert stores those rows whose ID and key no row has, in their order, and returns
	// them as stored. It may leave out others, too: they are tried again.
	Insert(ctx context.Context, rows []*queue.NewRow) (map[uuid.UUID]*queue.Row, error)
	// ByID returns the rows that have these IDs.
	ByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*queue.Row, error)
	// Holders returns the rows that the unique index has under these keys.
	Holders(ctx context.Context, keys []Key) (map[Key]Holder, error)
	// Release takes the key from a row that is expired.
	Release(ctx context.Context, row *queue.Row) error
	// Replace writes the arguments, the priority and the time of request to a row that
	// is READY and holds the key. It returns false if the row has changed, or is locked.
	Replace(ctx context.Context, row *queue.Row, request *queue.NewRow) (replaced *queue.Row, ok bool, err error)
}

// Inserted is a row as the database has it after an insert.
type Inserted struct {
	Row     *queue.Row
	Existed bool
}

// HasKey reports whether a new row has a key.
func HasKey(row *queue.NewRow) bool { return row.UniqueKey != "" }

// SplitKeyed returns the rows without and with keys.
func SplitKeyed(rows []*queue.NewRow) (plain, keyed []*queue.NewRow) {
	for _, row := range rows {
		if HasKey(row) {
			keyed = append(keyed, row)
		} else {
			plain = append(plain, row)
		}
	}
	return plain, keyed
}

// JoinKeyed returns what was stored for both in the order of rows.
func JoinKeyed[T any](rows []*queue.NewRow, plain []T, keyed []Inserted, convert func(Inserted) T) []T {
	stored := make([]T, len(rows))
	for i, row := range rows {
		if HasKey(row) {
			stored[i], keyed = convert(keyed[0]), keyed[1:]
		} else {
			stored[i], plain = plain[0], plain[1:]
		}
	}
	return stored
}

// KeyPatience is how long an insert is retried while another transaction stores or has
// locked the row that holds its key.
const KeyPatience = 3 * time.Second

// KeyLocked returns the error, a queue.ErrLocked, of a row whose key is that of a row
// which another transaction stores or has locked.
func KeyLocked(row *queue.Row) error { return &keyLocked{row.UniqueKey} }

type keyLocked struct{ key string }

func (e *keyLocked) Error() string {
	return fmt.Sprintf("another transaction stores or has locked the task that holds unique_key %q", e.key)
}

func (e *keyLocked) Is(target error) bool { return target == queue.ErrLocked }

// KeyContended returns the error for the caller of an insert that KeyLocked has ended.
func KeyContended(op string, err error) error {
	var locked *keyLocked
	if errors.As(err, &locked) {
		return NoEffect(fmt.Errorf("%s: %w: %s", op, queue.ErrContended, locked.Error()))
	}
	return err
}

// KeyConflict returns the error of an insert in a caller's transaction that another
// transaction was in the way of.
func KeyConflict(op string, cause error) error {
	return fmt.Errorf("%s: %w (%s)", op, queue.ErrConflict, OneLine(cause))
}

// Existing reports for each of rows, which need not have keys, whether an insert would store
// no new row for it.
func Existing(ctx context.Context, db KeyedInserter, rows []*queue.NewRow) ([]bool, error) {
	k := keyedInsert{db: db, rows: rows}
	for i := range rows {
		k.left = append(k.left, i)
	}
	if err := k.load(ctx); err != nil {
		return nil, err
	}
	exist := make([]bool, len(rows))
	for i, row := range rows {
		key := KeyOf(row.Row)
		holder, held := k.holders[key]
		exist[i] = k.byID[row.ID] != nil || HasKey(row) && held && !holder.Expired
		if exist[i] {
			continue
		}
		k.byID[row.ID] = row.Row // an earlier one for the others
		if HasKey(row) {
			k.holders[key] = Holder{Row: row.Row}
		}
	}
	return exist, nil
}

// keyedTries is how many rounds in a row an insert may make without any effect.
const keyedTries = 4

// InsertKeyed stores rows that have keys, or finds the rows that hold them. All calls
// store rows in the order of their keys, so that two transactions do not deadlock. An
// error that is queue.ErrLocked means that rows which hold keys are locked, or change
// again and again.
func InsertKeyed(ctx context.Context, db KeyedInserter, rows []*queue.NewRow) ([]Inserted, error) {
	k := keyedInsert{db: db, rows: rows, done: make([]Inserted, len(rows)), left: make([]int, len(rows))}
	for i := range rows {
		k.left[i] = i
	}
	slices.SortStableFunc(k.left, func(a, b int) int {
		return cmp.Or(cmp.Compare(rows[a].Task, rows[b].Task), cmp.Compare(rows[a].UniqueKey, rows[b].UniqueKey))
	})
	for len(k.left) > 0 {
		before := len(k.left)
		if err := k.round(ctx); err != nil {
			return nil, err
		}
		if k.idle++; len(k.left) < before {
			k.idle = 0
		}
		if k.idle == keyedTries {
			return nil, KeyLocked(rows[k.left[0]].Row)
		}
	}
	return k.done, nil
}

// keyedInsert is one InsertKeyed under way.
type keyedInsert struct {
	db   KeyedInserter
	rows []*queue.NewRow
	done []Inserted
	left []int // the rows that are not done, in the order of their keys
	idle int   // rounds in a row without any effect

	// What the round has found.
	stored  map[uuid.UUID]*queue.Row // by this round
	byID    map[uuid.UUID]*queue.Row
	holders map[Key]Holder
}

// round inserts the first row of each key, and then settles each row by what it meets.
func (k *keyedInsert) round(ctx context.Context) (err error) {
	if k.stored, err = k.db.Insert(ctx, k.first()); err != nil {
		return err
	}
	if err := k.load(ctx); err != nil {
		return err
	}
	var left []int
	for _, i := range k.left {
		settled, err := k.settle(ctx, i)
		if err != nil {
			return err
		}
		if !settled {
			left = append(left, i)
		}
	}
	k.left = left
	return nil
}

// first returns the rows that repeat neither an ID nor a key of another one.
func (k *keyedInsert) first() []*queue.NewRow {
	var rows []*queue.NewRow
	ids, keys := make(map[uuid.UUID]bool), make(map[Key]bool)
	for _, i := range k.left {
		row := k.rows[i]
		if !ids[row.ID] && !keys[KeyOf(row.Row)] {
			rows = append(rows, row)
		}
		ids[row.ID], keys[KeyOf(row.Row)] = true, true
	}
	return rows
}

// load finds the rows that those not stored meet.
func (k *keyedInsert) load(ctx context.Context) error {
	var ids []uuid.UUID
	k.byID, k.holders = make(map[uuid.UUID]*queue.Row), make(map[Key]Holder)
	for _, row := range k.stored {
		k.holders[KeyOf(row)] = Holder{Row: row}
	}
	for _, i := range k.left {
		if row := k.rows[i]; k.stored[row.ID] == nil && (!row.FreshID || k.idle > 0) {
			ids = append(ids, row.ID)
		}
	}
	if len(ids) > 0 {
		found, err := k.db.ByID(ctx, ids)
		if err != nil {
			return err
		}
		maps.Copy(k.byID, found)
	}
	var keys []Key
	asked := make(map[Key]bool)
	for _, i := range k.left {
		row := k.rows[i]
		key := KeyOf(row.Row)
		if _, known := k.holders[key]; HasKey(row) && !known && !asked[key] && k.byID[row.ID] == nil {
			keys, asked[key] = append(keys, key), true
		}
	}
	if len(keys) == 0 {
		return nil
	}
	found, err := k.db.Holders(ctx, keys)
	maps.Copy(k.holders, found)
	return err
}

// settle decides what becomes of row i. It returns false if that takes another round.
func (k *keyedInsert) settle(ctx context.Context, i int) (settled bool, err error) {
	request := k.rows[i]
	if row := k.stored[request.ID]; row != nil {
		delete(k.stored, row.ID) // it exists for the rest of the call
		k.byID[row.ID], k.done[i] = row, Inserted{Row: row}
		return true, nil
	}
	old := k.byID[request.ID]
	switch {
	case old != nil && !request.Matches(ctx, old):
		return false, &queue.IDConflictError{ID: request.ID, Row: old}
	case old != nil:
		k.done[i] = Inserted{Row: old, Existed: true}
		return true, nil
	}
	holder, held := k.holders[KeyOf(request.Row)]
	switch {
	case !held:
		return false, nil // it was released since the insert met it
	case holder.Expired:
		delete(k.holders, KeyOf(request.Row))
		return false, k.db.Release(ctx, holder.Row)
	}
	replace, err := request.AgainstHolder(holder.Row)
	if err != nil {
		return false, err
	}
	if replace {
		row, ok, err := k.db.Replace(ctx, holder.Row, request)
		if err != nil || !ok {
			delete(k.holders, KeyOf(request.Row))
			return false, err
		}
		*holder.Row = *row // also in what this call has returned for it before
	}
	k.done[i] = Inserted{Row: holder.Row, Existed: true}
	return true, nil
}
