package sqlstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// keyIsFree is the condition of FAILED rows that could be live again: no live row has
// taken the key that they held until they ended.
func (d *Dialect) keyIsFree() string { return d.noTwin(``) }

// keyWillBeFree is keyIsFree once the rows that have expired at now are CANCELLED.
func (d *Dialect) keyWillBeFree(now time.Time) string {
	return d.noTwin(` AND (twin.unique_scope = 2 OR twin.status <> 'READY' OR twin.started_at IS NOT NULL OR twin.expires_at IS NULL OR twin.expires_at > ` + strconv.FormatInt(now.UnixMicro(), 10) + `)`)
}

// noTwin is the condition of FAILED rows whose keys no row has for which more holds.
func (d *Dialect) noTwin(more string) string {
	return `(unique_scope IS NULL OR unique_scope <> 1 OR NOT EXISTS (SELECT 1 FROM claimcheck_tasks AS twin` + d.useIndex("claimcheck_tasks_unique") +
		` WHERE ` + d.holdsKey(`twin`, `claimcheck_tasks.task_path`, `claimcheck_tasks.unique_key`) + more + `))`
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
	held, err := (&keyedInserter{tx: tx, now: now}).visible(ctx, []storekit.Key{storekit.KeyOf(row)}, "")
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
