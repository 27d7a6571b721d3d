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

// keyIsFree is the condition of FAILED rows that could be live again: no live row has
// taken the key that they held until they ended.
func (d *Dialect) keyIsFree() string {
	return `(unique_scope IS NULL OR unique_scope <> 1 OR NOT EXISTS (SELECT 1 FROM claimcheck_tasks AS twin` + d.useIndex("claimcheck_tasks_unique") +
		` WHERE ` + d.holdsKey(`twin`, `claimcheck_tasks.task_path`, `claimcheck_tasks.unique_key`) + `))`
}

// keyedInserter is a storekit.KeyedInserter.
type keyedInserter struct {
	tx   querier
	now  time.Time
	lock string // of the rows that hold keys, in a caller's transaction
}

func newKeyedInserter(tx querier, now time.Time, rows []*queue.NewRow) keyedInserter {
	k := keyedInserter{tx: tx, now: now}
	switch {
	case !tx.callers:
	case slices.ContainsFunc(rows, func(r *queue.NewRow) bool { return r.OnConflict == queue.ReplaceExisting }):
		k.lock = tx.store.dialect.lockRow // two that share a row, and then replace it, would deadlock
	default:
		k.lock = tx.store.dialect.lockShared
	}
	return k
}

var _ storekit.KeyedInserter = keyedInserter{}

// Insert stores the rows whose IDs and keys no row has. On a server it looks for the
// rows that hold the keys first: an INSERT would wait for a transaction that is
// finishing one.
func (k keyedInserter) Insert(ctx context.Context, rows []*queue.NewRow) (map[uuid.UUID]*queue.Row, error) {
	if !k.tx.store.embedded() {
		keys := make([]storekit.Key, len(rows))
		for i, row := range rows {
			keys[i] = storekit.KeyOf(row.Row)
		}
		held, err := k.visible(ctx, keys, "")
		if err == nil && k.tx.callers {
			held, err = k.visible(ctx, slices.Collect(maps.Keys(held)), k.lock) // they may have ended since its snapshot
		}
		if err != nil {
			return nil, err
		}
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

// checkStoring returns a storekit.KeyLocked if another transaction is storing one of the
// keys, whose INSERT would wait for it and hold a connection meanwhile. A caller's
// transaction does wait.
func (k keyedInserter) checkStoring(ctx context.Context, rows []*queue.NewRow) error {
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
func (k keyedInserter) insertBatch(ctx context.Context, batch []inserted, stored map[uuid.UUID]*queue.Row) error {
	try := func(rows []inserted) (bool, error) {
		areNew, err := insertRows(ctx, k.tx, k.now, rows)
		if areNew && err == nil {
			for _, r := range rows {
				stored[r.row.ID] = r.row
			}
		}
		if err != nil && !k.tx.callers && k.tx.store.backend.Locked(err) { // stored since checkStoring
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
func (k keyedInserter) ByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*queue.Row, error) {
	found := make(map[uuid.UUID]*queue.Row, len(ids))
	for _, id := range ids {
		row, err := loadExisting(ctx, k.tx, id)
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

// Holders returns the rows that the index has under these keys. A caller's transaction
// reads its snapshot, unless it locks.
func (k keyedInserter) Holders(ctx context.Context, keys []storekit.Key) (map[storekit.Key]storekit.Holder, error) {
	return k.visible(ctx, keys, k.lock)
}

// visible returns those that a SELECT sees.
func (k keyedInserter) visible(ctx context.Context, keys []storekit.Key, lock string) (map[storekit.Key]storekit.Holder, error) {
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
		for _, row := range rows {
			found[storekit.KeyOf(row)] = storekit.Holder{Row: row, Expired: !row.HoldsKey(k.now)}
		}
	}
	return found, nil
}

// Release takes the key from a row whose period is over, or that has expired.
func (k keyedInserter) Release(ctx context.Context, holder *queue.Row) error {
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
func (k keyedInserter) Replace(ctx context.Context, holder *queue.Row, request *queue.NewRow) (*queue.Row, bool, error) {
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
	row.Args, row.Priority, row.RunAfter, row.RetryAt, row.ExpiresAt = next.Args, next.Priority, next.RunAfter, time.Time{}, next.ExpiresAt
	row.DispatchError, row.DispatchDueAt, row.LimitKey = "", next.DispatchDueAt, next.LimitKey
	if err := update(ctx, k.tx, []any{row.ID}, `args = ?, priority = ?, expires_at = ?, limit_key = ?`, string(row.Args), row.Priority, micros(row.ExpiresAt), nonZero(row.LimitKey)); err != nil {
		return nil, false, err
	}
	return row, true, save(ctx, k.tx, row, k.now)
}

// insertAny stores rows with and without keys; those without come first.
func insertAny(ctx context.Context, tx querier, now time.Time, rows []*queue.NewRow) ([]inserted, error) {
	plain, keyed := storekit.SplitKeyed(rows)
	first, err := insert(ctx, tx, now, plain)
	if err != nil || len(keyed) == 0 {
		return first, err
	}
	then, err := storekit.InsertKeyed(ctx, newKeyedInserter(tx, now, keyed), keyed)
	if err != nil {
		return nil, err
	}
	return storekit.JoinKeyed(rows, first, then, func(r storekit.Inserted) inserted { return inserted{r.Row, r.Existed} }), nil
}

// twin returns the row that has the key which a FAILED row held until it ended; nil if
// there is none.
func twin(ctx context.Context, tx querier, row *queue.Row, now time.Time) (*queue.Row, error) {
	if row.Status != queue.StatusFailed || row.UniqueScope != queue.UniqueUnfinished {
		return nil, nil
	}
	held, err := keyedInserter{tx: tx, now: now}.visible(ctx, []storekit.Key{storekit.KeyOf(row)}, "")
	return held[storekit.KeyOf(row)].Row, err
}

// KeyHolder returns the row because of whose key a FAILED row is not retried.
func (s *Store) KeyHolder(ctx context.Context, row *queue.Row) (holder *queue.Row, err error) {
	err = s.read(ctx, "read a unique key", func(conn querier) error {
		now, err := conn.now(ctx)
		if err == nil {
			holder, err = twin(ctx, conn, row, now)
		}
		return err
	})
	return holder, err
}

// expireHolder cancels a row that has expired, which frees its key: then it returns nil. It
// returns a row that still holds its key, and queue.ErrLocked if it is locked.
func expireHolder(ctx context.Context, tx querier, holder *queue.Row, now time.Time) (*queue.Row, error) {
	row, err := load(ctx, tx, holder.ID)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case row.Expired(now):
		expire(row, now)
		return nil, save(ctx, tx, row, now)
	case !row.HoldsKey(now):
		return nil, nil
	}
	return row, nil
}
