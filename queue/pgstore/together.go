package pgstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

// The statements for many callers at once. Each serves those of its rows that
// are as they usually are; a row that is not, or that somebody has locked, is
// left to a statement of its own, which may wait, and says why it was refused.
// Rows are taken in the order of their IDs, so that two such statements do not
// lock each other out.

// merge sets up the mergers.
func (s *Store) merge(l limits) {
	s.inserts = merger[*queue.NewRow, inserted]{op: "insert tasks", one: s.insertOne, again: s.insertAgain, many: s.insertMany, limits: l, lanes: insertLanes,
		size: func(row *queue.NewRow) int { return len(row.Args) }}
	s.claims = merger[claimOf, *queue.Row]{op: "claim task", one: s.claimOne, many: s.claimMany, undo: s.undoClaim, limits: l, lanes: changeLanes,
		size: func(claimOf) int { return 0 }}
	s.finishes = merger[finishOf, time.Time]{op: "finish task", one: s.finishOne, many: s.finishMany, limits: l, lanes: changeLanes,
		size: func(f finishOf) int { return len(f.ReturnValue) + historySize(f.Errors) }}
}

// historySize is about how many bytes a list of errors becomes, which is not
// encoded twice for it.
func historySize(history []queue.AttemptError) (size int) {
	const names = 160 // of the fields, and the times
	for _, e := range history {
		size += names + len(e.ExceptionClassPath) + len(e.Message) + len(e.Traceback) + len(e.WorkerID)
	}
	return size
}

// insertMany stores rows of different callers in one statement.
func (s *Store) insertMany(ctx context.Context, rows []*queue.NewRow) ([]merged[inserted], error) {
	answers := make([]merged[inserted], len(rows))
	err := s.on(ctx, "insert tasks", func(conn *pgx.Conn) error {
		stored := make(map[uuid.UUID]*queue.Row, len(rows))
		if err := insertNew(ctx, conn, rows, stored); err != nil {
			return err
		}
		for i, row := range rows {
			// The same ID twice is the second time a row that exists.
			if stored[row.ID] != nil {
				answers[i] = merged[inserted]{answer: inserted{row: stored[row.ID]}, served: true}
				delete(stored, row.ID)
			}
		}
		return nil
	})
	return answers, err
}

// claimManyQuery: index: the primary key, once for each ID.
var claimManyQuery = `
WITH free AS MATERIALIZED (
	SELECT t.id AS task, c.fence FROM unnest($5::uuid[], $6::uuid[], $7::bool[]) AS c(task, fence, again),
		LATERAL (SELECT id FROM claimcheck_tasks WHERE id = c.task AND claim_id IS DISTINCT FROM c.fence AND ` + claimable(`c.again`) + ` FOR UPDATE SKIP LOCKED) AS t
)
UPDATE claimcheck_tasks SET ` + setClaimed + `, claim_id = free.fence
FROM free WHERE id = free.task
RETURNING ` + columns

// claimMany claims rows for different callers in one statement, as far as they
// claim alike.
func (s *Store) claimMany(ctx context.Context, claims []claimOf) ([]merged[*queue.Row], error) {
	first := claims[0].ClaimRequest
	ordered := slices.DeleteFunc(slices.Clone(claims), func(c claimOf) bool { return !alike(c.ClaimRequest, first) })
	slices.SortFunc(ordered, func(a, b claimOf) int { return slices.Compare(a.id[:], b.id[:]) })
	ids, fences, again := make([]pgtype.UUID, len(ordered)), make([]pgtype.UUID, len(ordered)), make([]bool, len(ordered))
	for i, c := range ordered {
		ids[i], fences[i], again[i] = uuidValue(c.id), uuidValue(c.ClaimID), c.AllowRetry
	}
	var rows []*queue.Row
	err := s.on(ctx, "claim tasks", func(conn *pgx.Conn) (err error) {
		rows, err = many(conn.Query(ctx, claimManyQuery, first.Worker, first.Lease, first.Tasks, first.Early, ids, fences, again))
		return err
	})
	if err != nil {
		return nil, err
	}
	claimed := make(map[queue.Claim]*queue.Row, len(rows))
	for _, row := range rows {
		claimed[row.Claim()] = row
	}
	answers := make([]merged[*queue.Row], len(claims))
	for i, c := range claims {
		if row := claimed[queue.Claim{ID: c.id, ClaimID: c.ClaimID}]; row != nil {
			answers[i] = merged[*queue.Row]{answer: row, served: true}
		}
	}
	return answers, nil
}

// alike reports whether two claims may share a statement.
func alike(a, b queue.ClaimRequest) bool {
	return a.Worker == b.Worker && a.Lease == b.Lease && a.Early == b.Early && slices.Equal(a.Tasks, b.Tasks)
}

const undoTimeout = 10 * time.Second

// undoClaim gives back a claim whose caller has gone, and whose function has
// therefore not begun. If it fails, the lease runs out.
func (s *Store) undoClaim(_ claimOf, row *queue.Row) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
		defer cancel()
		_ = s.Unclaim(ctx, row.Claim())
	}()
}

// finishManyQuery: index: the primary key, once for each ID.
var finishManyQuery = fmt.Sprintf(`
WITH held AS MATERIALIZED (
	SELECT t.id AS task, c.* FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
			AS c(wanted, fence, ended, value, history, error, message),
		LATERAL (SELECT id FROM claimcheck_tasks WHERE id = c.wanted AND `+isRunning+` AND claim_id = c.fence FOR UPDATE SKIP LOCKED) AS t
)
UPDATE claimcheck_tasks SET %s
FROM held WHERE id = held.task
RETURNING id, claim_id, finished_at`, setFinished("ended", "value", "history", "error", "message"))

// finishMany ends claims of different callers in one statement.
func (s *Store) finishMany(ctx context.Context, finishes []finishOf) ([]merged[time.Time], error) {
	ordered := slices.Clone(finishes)
	slices.SortFunc(ordered, func(a, b finishOf) int { return slices.Compare(a.ID[:], b.ID[:]) })
	values, err := finishValues(ordered)
	if err != nil {
		return nil, err
	}
	ended := make(map[queue.Claim]time.Time, len(ordered))
	err = s.with(ctx, "finish tasks", use{urgent: true}, func(conn *pgx.Conn) error {
		result, err := conn.Query(ctx, finishManyQuery, values...)
		if err != nil {
			return err
		}
		var claim queue.Claim
		var at time.Time
		_, err = pgx.ForEachRow(result, []any{(*id)(&claim.ID), (*id)(&claim.ClaimID), (*moment)(&at)}, func() error {
			ended[claim] = at
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	answers := make([]merged[time.Time], len(finishes))
	for i, f := range finishes {
		if at, ok := ended[f.Claim]; ok {
			answers[i] = merged[time.Time]{answer: at, served: true}
		}
	}
	return answers, nil
}

// finishValues are the parameters of finishManyQuery.
func finishValues(finishes []finishOf) ([]any, error) {
	n := len(finishes)
	ids, fences, ended := make([]pgtype.UUID, n), make([]pgtype.UUID, n), make([]string, n)
	values, lists, groups, texts := make([]pgtype.Text, n), make([]pgtype.Text, n), make([]pgtype.Text, n), make([]pgtype.Text, n)
	for i, f := range finishes {
		history, err := errorsValue(f.Errors)
		if err != nil {
			return nil, err
		}
		ids[i], fences[i], ended[i] = uuidValue(f.ID), uuidValue(f.ClaimID), string(f.Status)
		values[i], lists[i], groups[i], texts[i] = jsonValue(f.ReturnValue), history.list, history.group, history.text
	}
	return []any{ids, fences, ended, values, lists, groups, texts}, nil
}
