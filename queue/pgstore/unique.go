package pgstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// A row with a key is never in a statement with rows of other callers: its insert may
// have to wait for a transaction that stores the same key. It waits inside the database
// for keyWait only, and continues without a connection, so that a transaction which
// stays open does not take all of them. In a caller's transaction it waits until that
// one ends.

// holdsKey is the condition of the index claimcheck_tasks_unique. A row whose period is
// over is in it until another one wants the key.
const holdsKey = `(unique_scope = 2 OR unique_scope = 1 AND status IN ('READY', 'RUNNING'))`

// holdsKeyOf is holdsKey of a row of that name.
func holdsKeyOf(row string) string {
	return strings.NewReplacer(`unique_scope`, row+`.unique_scope`, `status`, row+`.status`).Replace(holdsKey)
}

// keyIsFree is the condition of FAILED rows that could be live again: no live row has
// taken the key that they held until they ended.
var keyIsFree = `(claimcheck_tasks.unique_scope IS DISTINCT FROM 1 OR NOT EXISTS (SELECT FROM claimcheck_tasks AS twin
	WHERE twin.task_path = claimcheck_tasks.task_path AND twin.unique_key = claimcheck_tasks.unique_key AND ` + holdsKeyOf(`twin`) + `))`

// keyWillBeFree is keyIsFree once the rows that have expired are CANCELLED.
var keyWillBeFree = strings.Replace(keyIsFree, holdsKeyOf(`twin`), holdsKeyOf(`twin`)+` AND (twin.unique_scope = 2 OR twin.status <> 'READY' OR `+mayStartOf(`twin`)+`)`, 1)

// keyWait is how long a statement waits for another transaction that stores the same key.
const keyWait = `50ms`

// waitingBriefly is a condition that holds, and limits the waits of the transaction to
// keyWait.
const waitingBriefly = ` AND (SELECT set_config('lock_timeout', '` + keyWait + `', true)) IS NOT NULL`

// insertKeyedQuery leaves out rows whose key another row holds. It looks for that one
// first: the index alone would wait for a transaction that is finishing it. Indexes: the
// primary key, claimcheck_tasks_unique.
func insertKeyedQuery(condition string) string {
	return insertExtras(``, `
WHERE (SELECT t.id FROM claimcheck_tasks AS t WHERE t.task_path = n.task AND t.unique_key = e.unique_key AND `+holdsKeyOf(`t`)+` LIMIT 1) IS NULL`+condition)
}

var (
	insertKeyedTxQuery    = insertKeyedQuery(``)
	insertKeyedBriefQuery = insertKeyedQuery(waitingBriefly)
)

// holdersQuery finds the rows that hold keys, and reports whether the transaction sees
// them as they were when it began. Index: claimcheck_tasks_unique.
const holdersQuery = `
SELECT coalesce(` + holdsNoMore + `, false), current_setting('transaction_isolation') IN ('repeatable read', 'serializable'), ` + columns + `
FROM unnest($1::text[], $2::text[]) AS k(of_task, of_key),
	LATERAL (SELECT * FROM claimcheck_tasks WHERE task_path = k.of_task AND unique_key = k.of_key AND ` + holdsKey + ` LIMIT 1) AS held`

// holdsNoMore is the condition of rows that are in the index, and for which
// queue.Row.HoldsKey no longer holds.
const holdsNoMore = `(unique_scope = 2 AND unique_until <= now() OR unique_scope = 1 AND NOT ` + mayStart + `)`

const (
	expiredHolder = `id = $1::uuid AND ` + holdsNoMore + ` AND ` + holdsKey
	// readyHolder has a key that another row could not have taken meanwhile.
	readyHolder = `id = $1::uuid AND status = 'READY' AND unique_scope IS NOT NULL`
)

// Index: the primary key.
const (
	releaseKey        = `UPDATE claimcheck_tasks SET unique_scope = NULL WHERE `
	releaseKeyTxQuery = releaseKey + expiredHolder
)

var (
	releaseKeyQuery = releaseKey + `id = ` + freeRow(expiredHolder)
	replaceQuery    = replaceReady(`id = ` + freeRow(readyHolder))
	replaceTxQuery  = replaceReady(readyHolder)
)

// replaceReady is the statement that replaces a READY row. Index: the primary key.
func replaceReady(condition string) string {
	return `
UPDATE claimcheck_tasks SET args = $2::text::json, priority = $3::int8, run_after = due.at, hold = CASE WHEN due.at > now() THEN 1 ELSE 0 END,
	retry_at = NULL, dispatch_error = NULL, progress_done = NULL, progress_total = NULL, note = NULL, checkpoint = NULL, limit_key = nullif($9::text, ''), key_id = nullif($10::text, ''), ` + keepTicket + `,
	expires_at = coalesce($7::timestamptz, now() + nullif($8::int8, 0) * interval '1 microsecond'),
	dispatch_due_at = CASE WHEN $6::bool THEN greatest(now(), due.at) + ` + interval(queue.DispatchGrace) + ` ELSE greatest(now(), due.at - ` + interval(queue.ArmWithin) + `) END
FROM (SELECT coalesce($4::timestamptz, now() + nullif($5::int8, 0) * interval '1 microsecond') AS at) AS due
WHERE ` + condition + `
RETURNING ` + columns
}

// keyedInserter is a storekit.KeyedInserter.
type keyedInserter struct {
	q       querier
	callers bool // in a transaction of the caller's
}

var _ storekit.KeyedInserter = keyedInserter{}

// Insert stores the rows whose IDs and keys no row has.
func (k keyedInserter) Insert(ctx context.Context, rows []*queue.NewRow) (map[uuid.UUID]*queue.Row, error) {
	query := insertKeyedBriefQuery
	if k.callers {
		query = insertKeyedTxQuery
	}
	stored := make(map[uuid.UUID]*queue.Row, len(rows))
	err := insertNew(ctx, k.q, rows, stored, query)
	if !k.callers && (isCode(err, pgerrcode.LockNotAvailable) || isCode(err, pgerrcode.DeadlockDetected)) {
		return nil, storekit.KeyLocked(rows[0].Row)
	}
	return stored, err
}

// ByID returns the rows that have these IDs.
func (k keyedInserter) ByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*queue.Row, error) {
	rows, err := many(k.q.Query(ctx, existingQuery, uuidValues(ids)))
	found := make(map[uuid.UUID]*queue.Row, len(rows))
	for _, row := range rows {
		found[row.ID] = row
	}
	return found, err
}

// Holders returns the rows that the index has under these keys.
func (k keyedInserter) Holders(ctx context.Context, keys []storekit.Key) (map[storekit.Key]storekit.Holder, error) {
	tasks, texts := make([]string, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		tasks[i], texts[i] = key.Task, key.Key
	}
	result, err := k.q.Query(ctx, holdersQuery, tasks, texts)
	if err != nil {
		return nil, err
	}
	found := make(map[storekit.Key]storekit.Holder, len(keys))
	var expired, snapshot bool
	var r scanned
	_, err = pgx.ForEachRow(result, append([]any{&expired, &snapshot}, r.fields()...), func() error {
		row := r.row()
		found[storekit.KeyOf(row)] = storekit.Holder{Row: row, Expired: expired}
		return nil
	})
	if err == nil && snapshot && k.callers {
		err = unchanged(ctx, k.q, slices.Collect(maps.Values(found)))
	}
	return found, err
}

// unchanged returns a serialization failure if one of the rows has changed since the
// caller's transaction began: it may have ended. A row that another transaction has
// locked has not, since that one has not committed. The savepoint releases the locks,
// which would keep the rows from being claimed and finished until the commit. Index: the
// primary key.
func unchanged(ctx context.Context, q querier, holders []storekit.Holder) error {
	ids := make([]string, len(holders))
	for i, holder := range holders {
		ids[i] = holder.Row.ID.String()
	}
	_, err := q.Exec(ctx, `SAVEPOINT claimcheck_holders;
SELECT FROM claimcheck_tasks WHERE id = ANY('{`+strings.Join(ids, `,`)+`}'::uuid[]) FOR SHARE SKIP LOCKED;
ROLLBACK TO SAVEPOINT claimcheck_holders;
RELEASE SAVEPOINT claimcheck_holders`)
	return err
}

// Release takes the key from a row whose period is over.
func (k keyedInserter) Release(ctx context.Context, row *queue.Row) error {
	query := releaseKeyQuery
	if k.callers {
		query = releaseKeyTxQuery
	}
	_, err := k.q.Exec(ctx, query, uuidValue(row.ID))
	return err
}

// Replace writes a request to a READY row that holds its key.
func (k keyedInserter) Replace(ctx context.Context, row *queue.Row, request *queue.NewRow) (replaced *queue.Row, ok bool, err error) {
	query := replaceQuery
	if k.callers {
		query = replaceTxQuery
	}
	args, keyID, err := request.ReplacedArgs(ctx, row)
	if err != nil {
		return nil, false, err
	}
	replaced, err = one(k.q.QueryRow(ctx, query, uuidValue(row.ID), string(args), request.Priority, timeValue(request.RunAfter), delayMicros(request), request.WillDispatch,
		timeValue(request.ExpiresAt), request.ExpiresIn.Microseconds(), request.LimitKey, keyID))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	return replaced, err == nil, err
}

// twin returns the row that has the key which a FAILED row held until it ended; nil if
// there is none.
func twin(ctx context.Context, q querier, row *queue.Row) (*queue.Row, error) {
	if row.Status != queue.StatusFailed || row.UniqueScope != queue.UniqueUnfinished {
		return nil, nil
	}
	held, err := keyedInserter{q: q}.Holders(ctx, []storekit.Key{storekit.KeyOf(row)})
	return held[storekit.KeyOf(row)].Row, err
}

// KeyHolder returns the row because of whose key a FAILED row is not retried.
func (s *Store) KeyHolder(ctx context.Context, row *queue.Row) (holder *queue.Row, err error) {
	err = s.on(ctx, "read a unique key", func(conn *pgx.Conn) error {
		holder, err = twin(ctx, conn, row)
		return err
	})
	return holder, err
}

// keyIndexQuery reports whether the table has the index that keys need.
const keyIndexQuery = `SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass('claimcheck_tasks') AND indexrelid = to_regclass('claimcheck_tasks_unique') AND indisunique AND indisvalid)`

// checkKeyIndex returns an error if the table cannot have rows with keys.
func (s *Store) checkKeyIndex(ctx context.Context, q querier) error {
	if s.keyIndex.Load() {
		return nil
	}
	var exists bool
	if err := q.QueryRow(ctx, keyIndexQuery).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		return fmt.Errorf("%w: idempotency keys need the unique index claimcheck_tasks_unique: a partitioned table cannot have it; on any other, call Store.Migrate", queue.ErrUnsupported)
	}
	s.keyIndex.Store(true)
	return nil
}

// insertAny stores rows with and without keys; those without come first.
func (s *Store) insertAny(ctx context.Context, q querier, callers bool, rows []*queue.NewRow) ([]inserted, error) {
	plain, keyed := storekit.SplitKeyed(rows)
	if len(keyed) > 0 {
		if err := s.checkKeyIndex(ctx, q); err != nil {
			return nil, err
		}
	}
	first, err := insert(ctx, q, plain)
	if err != nil || len(keyed) == 0 {
		return first, err
	}
	then, err := storekit.InsertKeyed(ctx, keyedInserter{q, callers}, keyed)
	if err != nil {
		return nil, err
	}
	return storekit.JoinKeyed(rows, first, then, func(r storekit.Inserted) inserted { return inserted{r.Row, r.Existed} }), nil
}

// insertKeyed is Insert of rows some of which have keys.
func (s *Store) insertKeyed(ctx context.Context, rows []*queue.NewRow) error {
	const op = "insert tasks"
	var stored []inserted
	err := storekit.RetryLocked(ctx, storekit.KeyPatience, func() error {
		if len(rows) == 1 { // no transaction: each of its statements is complete
			return s.on(ctx, op, func(conn *pgx.Conn) (err error) {
				stored, err = s.insertAny(ctx, conn, false, rows)
				return err
			})
		}
		return s.with(ctx, op, use{ownTransaction: true}, func(conn *pgx.Conn) error {
			return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) (err error) {
				stored, err = s.insertAny(ctx, tx, false, rows)
				return err
			})
		})
	})
	if slices.ContainsFunc(rows, func(r *queue.NewRow) bool { return r.OnConflict == queue.ReplaceExisting }) {
		s.hints.forget() // a row that was replaced may precede them
	}
	return copyBack(rows, storekit.KeyContended(op, err), stored...)
}
