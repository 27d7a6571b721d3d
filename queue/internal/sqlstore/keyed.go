package sqlstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// holdersQuery finds the rows that hold n keys; each has two parameters, the task and the
// key. Index: claimcheck_tasks_unique.
func (d *Dialect) holdersQuery(n int) string {
	one := `(` + d.holdsKey(`claimcheck_tasks`, `?`, `?`) + `)`
	return `SELECT ` + columns + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_unique") + ` WHERE ` + one + strings.Repeat(` OR `+one, n-1)
}

// keyedInserter is a storekit.KeyedInserter. In a caller's transaction it locks rows by
// their IDs. A locking read of a key, or of an ID that does not exist, also locks a gap:
// below the first key are all rows that hold none, and behind the last ID the new rows, so
// that no task could be stored, or could end, until the caller's transaction does. Only an
// INSERT that meets a row which the transaction's snapshot does not have locks like that.
type keyedInserter struct {
	tx   querier
	now  time.Time
	lock string // of the rows that hold keys, in a caller's transaction

	// What the last Insert has found in a caller's transaction.
	held    map[storekit.Key]storekit.Holder
	metIDs  map[uuid.UUID]bool
	metKeys map[storekit.Key]bool
}

func newKeyedInserter(tx querier, now time.Time, rows []*queue.NewRow) *keyedInserter {
	k := &keyedInserter{tx: tx, now: now}
	switch {
	case !tx.callers:
	case slices.ContainsFunc(rows, func(r *queue.NewRow) bool { return r.OnConflict == queue.ReplaceExisting }):
		k.lock = tx.store.dialect.lockRow // two that share a row, and then replace it, would deadlock
	default:
		k.lock = tx.store.dialect.lockShared
	}
	return k
}

var _ storekit.KeyedInserter = &keyedInserter{}

// Insert stores the rows whose IDs and keys no row has. On a server it looks for the
// rows that hold the keys first: an INSERT would wait for a transaction that is
// finishing one.
func (k *keyedInserter) Insert(ctx context.Context, rows []*queue.NewRow) (map[uuid.UUID]*queue.Row, error) {
	if !k.tx.store.embedded() {
		keys := make([]storekit.Key, len(rows))
		for i, row := range rows {
			keys[i] = storekit.KeyOf(row.Row)
		}
		held, err := k.current(ctx, keys)
		if err != nil {
			return nil, err
		}
		k.held, k.metIDs, k.metKeys = held, make(map[uuid.UUID]bool), make(map[storekit.Key]bool)
		rows = slices.DeleteFunc(slices.Clone(rows), func(row *queue.NewRow) bool { return held[storekit.KeyOf(row.Row)].Row != nil })
		if err := k.checkStoring(ctx, rows); err != nil {
			return nil, err
		}
	}
	stored := make(map[uuid.UUID]*queue.Row, len(rows))
	for len(rows) > 0 {
		n := batchLength(rows, k.tx.store.dialect.batch)
		batch := make([]inserted, n)
		for i, row := range rows[:n] {
			batch[i].row = newRow(row, k.now)
		}
		rows = rows[n:]
		if err := k.insertBatch(ctx, batch, stored); err != nil {
			return nil, err
		}
	}
	return stored, nil
}

// current returns the rows that hold these keys now, as far as the snapshot of a caller's
// transaction has them.
func (k *keyedInserter) current(ctx context.Context, keys []storekit.Key) (map[storekit.Key]storekit.Holder, error) {
	held, err := k.visible(ctx, keys, "")
	if err != nil || !k.tx.callers || k.lock == "" {
		return held, err
	}
	var ids []any
	for _, key := range keys {
		if holder := held[key]; holder.Row != nil {
			ids = append(ids, holder.Row.ID)
		}
	}
	var rows []*queue.Row
	err = inChunks(ids, func(some []any) error {
		unlocked := k.tx
		unlocked.locks = false // the lock is a part of the query
		locked, err := list(ctx, unlocked, k.tx.store.dialect.byIDs(len(some))+k.lock, some...)
		rows = append(rows, locked...)
		return err
	})
	return k.holders(rows), err
}

// byIDs finds n rows. Index: the primary key.
func (d *Dialect) byIDs(n int) string {
	return `SELECT ` + columns + ` FROM claimcheck_tasks` + d.byID + ` WHERE id IN (` + marks(n) + `)`
}

// holders returns those of rows that the index has under their keys.
func (k *keyedInserter) holders(rows []*queue.Row) map[storekit.Key]storekit.Holder {
	found := make(map[storekit.Key]storekit.Holder, len(rows))
	for _, row := range rows {
		if row.UniqueScope == queue.UniqueKept || row.UniqueScope == queue.UniqueUnfinished && !row.Status.Final() {
			found[storekit.KeyOf(row)] = storekit.Holder{Row: row, Expired: !row.HoldsKey(k.now)}
		}
	}
	return found
}

// checkStoring returns a storekit.KeyLocked if another transaction is storing one of the
// keys, whose INSERT would wait for it and hold a connection meanwhile. A caller's
// transaction does wait.
func (k *keyedInserter) checkStoring(ctx context.Context, rows []*queue.NewRow) error {
	if k.tx.callers || len(rows) == 0 {
		return nil
	}
	keys := make([]storekit.Key, len(rows))
	for i, row := range rows {
		keys[i] = storekit.KeyOf(row.Row)
	}
	_, err := k.visible(ctx, keys, k.tx.store.dialect.lockNow)
	if err != nil && k.tx.store.backend.Locked(err) {
		return storekit.KeyLocked(rows[0].Row)
	}
	return err
}

// insertBatch stores rows in one statement, or, if some of them exist, each in its own.
func (k *keyedInserter) insertBatch(ctx context.Context, batch []inserted, stored map[uuid.UUID]*queue.Row) error {
	try := func(rows []inserted) (bool, error) {
		areNew, err := insertRows(ctx, k.tx, k.now, rows)
		switch backend := k.tx.store.backend; {
		case err == nil && areNew:
			for _, r := range rows {
				stored[r.row.ID] = r.row
			}
		case err == nil:
		case backend.Duplicate(err):
			if row := rows[0].row; len(rows) == 1 && backend.DuplicateID(err) {
				k.metIDs[row.ID] = true
			} else if len(rows) == 1 {
				k.metKeys[storekit.KeyOf(row)] = true
			}
			return false, nil
		case !k.tx.callers && backend.Locked(err): // stored since checkStoring
			err = storekit.KeyLocked(rows[0].row)
		}
		return areNew, err
	}
	areNew, err := try(batch)
	if areNew || err != nil || len(batch) == 1 {
		return err
	}
	for i := range batch {
		if _, err := try(batch[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

// ByID returns the rows that have these IDs.
func (k *keyedInserter) ByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*queue.Row, error) {
	found := make(map[uuid.UUID]*queue.Row, len(ids))
	for _, id := range ids {
		row, err := loadBy(ctx, k.tx, loadQuery, id)
		if err == queue.ErrNotFound && k.metIDs[id] {
			row, err = load(ctx, k.tx, id)
		}
		if errors.Is(err, queue.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found[id] = row
	}
	return found, nil
}

// Holders returns the rows that the index has under these keys.
func (k *keyedInserter) Holders(ctx context.Context, keys []storekit.Key) (map[storekit.Key]storekit.Holder, error) {
	found := make(map[storekit.Key]storekit.Holder, len(keys))
	var met, others []storekit.Key
	for _, key := range keys {
		switch holder, known := k.held[key]; {
		case k.tx.callers && known:
			found[key] = holder
		case k.metKeys[key]:
			met = append(met, key)
		default:
			others = append(others, key)
		}
	}
	now, err := k.visible(ctx, met, k.lock)
	maps.Copy(found, now)
	if err == nil {
		now, err = k.current(ctx, others)
		maps.Copy(found, now)
	}
	return found, err
}

// visible returns those that a SELECT sees.
func (k *keyedInserter) visible(ctx context.Context, keys []storekit.Key, lock string) (map[storekit.Key]storekit.Holder, error) {
	found := make(map[storekit.Key]storekit.Holder, len(keys))
	for some := range slices.Chunk(keys, k.tx.store.dialect.batch) {
		var args []any
		for _, key := range some {
			args = append(args, key.Task, key.Key)
		}
		unlocked := k.tx
		unlocked.locks = false // the lock is a part of the query
		rows, err := list(ctx, unlocked, k.tx.store.dialect.holdersQuery(len(some))+lock, args...)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, k.holders(rows))
	}
	return found, nil
}

// Release takes the key from a row whose period is over, or that has expired.
func (k *keyedInserter) Release(ctx context.Context, holder *queue.Row) error {
	row, err := load(ctx, k.tx, holder.ID)
	switch {
	case errors.Is(err, queue.ErrLocked):
		return storekit.KeyLocked(holder)
	case errors.Is(err, queue.ErrNotFound):
		return nil
	case err != nil || row.HoldsKey(k.now) || row.UniqueScope == queue.UniqueUnfinished && row.Status.Final():
		return err
	}
	return update(ctx, k.tx, []any{row.ID}, `unique_scope = NULL`)
}

// Replace writes a request to a READY row that holds its key.
func (k *keyedInserter) Replace(ctx context.Context, holder *queue.Row, request *queue.NewRow) (*queue.Row, bool, error) {
	row, err := load(ctx, k.tx, holder.ID)
	switch {
	case errors.Is(err, queue.ErrLocked):
		return nil, false, storekit.KeyLocked(holder)
	case errors.Is(err, queue.ErrNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case row.Status != queue.StatusReady || !row.HoldsKey(k.now):
		return nil, false, nil
	}
	row.KeepTicket(k.now)
	next := newRow(request, k.now)
	replacement, keyID, err := request.ReplacedArgs(ctx, row)
	if err != nil {
		return nil, false, err
	}
	row.KeyID = keyID
	row.Args, row.Priority, row.RunAfter, row.RetryAt, row.ExpiresAt = replacement, next.Priority, next.RunAfter, time.Time{}, next.ExpiresAt
	row.DispatchError, row.DispatchDueAt, row.LimitKey = "", next.DispatchDueAt, next.LimitKey
	row.Progress, row.Note = nil, ""
	if err := update(ctx, k.tx, []any{row.ID}, `args = ?, priority = ?, expires_at = ?, limit_key = ?, key_id = ?, progress_done = NULL, progress_total = NULL, note = NULL, checkpoint = NULL`, string(row.Args), row.Priority, micros(row.ExpiresAt), nonZero(row.LimitKey), nonZero(row.KeyID)); err != nil {
		return nil, false, err
	}
	return row, true, save(ctx, k.tx, row, k.now)
}
