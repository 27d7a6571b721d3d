package pgstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// ClaimNext claims up to req.Limit rows that are READY and due.
func (s *Store) ClaimNext(ctx context.Context, req queue.ClaimNextRequest) ([]*queue.Row, error) {
	if len(req.Tasks) == 0 || req.Limit < 1 {
		return nil, nil
	}
	var rows []*queue.Row
	if from, known := s.lines.start(req, time.Now()); known {
		var err error
		if rows, err = s.claimFrom(ctx, req, from); err != nil {
			return nil, err
		}
		if len(rows) == req.Limit {
			s.lines.advance(req, rows)
			return rows, nil
		}
		req.Limit -= len(rows)
	}
	more, took, err := s.claimNext(ctx, req, claimNextQuery)
	if err != nil && len(rows) == 0 {
		return nil, err
	}
	s.lines.walked(req, more, took, time.Now())
	return append(rows, more...), nil // what is claimed is the caller's, whatever became of the rest
}

// claimNext claims rows with one of the two statements below, and says how long
// that took: not the wait for a connection, which tells nothing of the walk.
func (s *Store) claimNext(ctx context.Context, req queue.ClaimNextRequest, query string, more ...any) (rows []*queue.Row, took time.Duration, err error) {
	fence := uuid.NewString()[:fencePrefix]
	args := append([]any{req.Worker, req.Lease, req.Tasks, append([]string{}, req.Queues...), req.Backend, req.Limit, fence}, more...)
	err = s.on(ctx, "claim next tasks", func(conn *pgx.Conn) error {
		began := time.Now()
		rows, err = many(conn.Query(ctx, query, args...))
		took = time.Since(began)
		return err
	})
	slices.SortFunc(rows, func(a, b *queue.Row) int { // an UPDATE returns its rows in no order
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.EnqueuedAt.Compare(b.EnqueuedAt), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return rows, took, err
}

func (s *Store) claimFrom(ctx context.Context, req queue.ClaimNextRequest, from start) ([]*queue.Row, error) {
	rows, _, err := s.claimNext(ctx, req, claimFromQuery, from.priority, timeValue(from.enqueuedAt), uuidValue(from.id), from.above)
	return rows, err
}

// fencePrefix is how much of a claim ID is new with each claim, 60 random bits.
// The rest is the end of the row's own ID: to draw a random one for each row
// took PostgreSQL a fifth of the whole claim.
const fencePrefix = len("00000000-0000-4000-")

// first are the first rows that may be claimed and that nobody else holds.
func first(condition string) string {
	return `
	SELECT id FROM claimcheck_tasks
	WHERE hold = 0 AND attempts < max_attempts AND task_path = ANY($3::text[])
		AND (cardinality($4::text[]) = 0 OR queue_name = ANY($4::text[])) AND ($5::text = '' OR backend_name = $5::text)` + condition + `
	ORDER BY priority DESC, enqueued_at, id
	LIMIT $6::int8 FOR UPDATE SKIP LOCKED`
}

func claimRows(ids string) string {
	return `
UPDATE claimcheck_tasks SET ` + setClaimed + `, claim_id = ($7::text || right(id::text, 17))::uuid
WHERE id = ANY(ARRAY(` + ids + `))
RETURNING ` + columns
}

// Both take their rows from claimcheck_tasks_claim, in its order, and then by
// the primary key (= ANY of an array is never planned as a scan of the table).
var (
	claimNextQuery = claimRows(first(""))
	// claimFromQuery leaves out what is before the row ($8, $9, $10), or, unless
	// $11, only what is before it with its own priority.
	claimFromQuery = claimRows(`
	SELECT id FROM (` + first(` AND $11::bool AND priority > $8::int8`) + `) AS above
	UNION ALL SELECT id FROM (` + first(` AND priority = $8::int8 AND (enqueued_at, id) >= ($9::timestamptz, $10::uuid)`) + `) AS here
	UNION ALL SELECT id FROM (` + first(` AND priority < $8::int8`) + `) AS below
	LIMIT $6::int8`)
)
