package system

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// leanSchema is the least that the promise needs: a row, its state, and a claim
// that fences its end.
const leanSchema = `
CREATE TABLE lean_tasks (
	id          uuid        PRIMARY KEY,
	task        text        NOT NULL,
	args        json        NOT NULL,
	status      smallint    NOT NULL DEFAULT 0, -- 0 ready, 1 running, 2 finished
	attempts    integer     NOT NULL DEFAULT 0,
	claim_id    uuid,
	lease_until timestamptz,
	enqueued_at timestamptz NOT NULL DEFAULT now(),
	finished_at timestamptz,
	result      json
);
CREATE INDEX lean_tasks_ready ON lean_tasks (enqueued_at, id) WHERE status = 0;
CREATE INDEX lean_tasks_finished ON lean_tasks (finished_at) WHERE status = 2;`

// Statements for one row.
const (
	leanInsert = `INSERT INTO lean_tasks (id, task, args) VALUES ($1, $2, $3)`
	leanClaim  = `UPDATE lean_tasks SET status = 1, attempts = attempts + 1, claim_id = $2, lease_until = now() + interval '60 s'
		WHERE id = $1 AND status = 0 RETURNING args`
	leanClaimNext = `UPDATE lean_tasks SET status = 1, attempts = attempts + 1, claim_id = $1, lease_until = now() + interval '60 s'
		WHERE id = (SELECT id FROM lean_tasks WHERE status = 0 ORDER BY enqueued_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING id`
	leanFinish = `UPDATE lean_tasks SET status = 2, finished_at = now(), lease_until = NULL, result = 'null'
		WHERE id = $1 AND status = 1 AND claim_id = $2`
)

// Statements for many rows.
const (
	leanInsertMany    = `INSERT INTO lean_tasks (id, task, args) SELECT * FROM unnest($1::uuid[], $2::text[], $3::json[])`
	leanClaimNextMany = `UPDATE lean_tasks SET status = 1, attempts = attempts + 1, claim_id = $1, lease_until = now() + interval '60 s'
		WHERE id = ANY(ARRAY(SELECT id FROM lean_tasks WHERE status = 0 ORDER BY enqueued_at, id LIMIT $2 FOR UPDATE SKIP LOCKED))
		RETURNING id, args`
	leanClaimMany = `UPDATE lean_tasks AS t SET status = 1, attempts = attempts + 1, claim_id = c.claim, lease_until = now() + interval '60 s'
		FROM unnest($1::uuid[], $2::uuid[]) AS c(id, claim) WHERE t.id = c.id AND t.status = 0
		RETURNING t.id, t.args`
	leanFinishMany = `UPDATE lean_tasks AS t SET status = 2, finished_at = now(), lease_until = NULL, result = 'null'
		FROM unnest($1::uuid[], $2::uuid[]) AS c(id, claim) WHERE t.id = c.id AND t.status = 1 AND t.claim_id = c.claim
		RETURNING t.id`
	leanPurge = `DELETE FROM lean_tasks WHERE id = ANY(ARRAY(
		SELECT id FROM lean_tasks WHERE status = 2 AND finished_at < now() - interval '1 day' ORDER BY finished_at LIMIT $1))`
)

func setupLean(ctx context.Context, url string) error { return exec(ctx, url, leanSchema) }

// lean is what the yardsticks share.
type lean struct {
	url  string
	pool *pgxpool.Pool
}

// Close ends the session.
func (l *lean) Close(context.Context) error {
	l.pool.Close()
	return nil
}

// Fill stores n tasks of a kind.
func (l *lean) Fill(ctx context.Context, n int, kind Kind) error {
	base, copies := portions(n)
	if err := l.insertBatch(ctx, base); err != nil {
		return err
	}
	switch kind {
	case Due:
	case Finished:
		err := exec(ctx, l.url, `UPDATE lean_tasks SET status = 2, attempts = 1, claim_id = gen_random_uuid(), result = 'null',
			finished_at = now() - interval '2 days'`)
		if err != nil {
			return err
		}
	default:
		return fmt.Errorf("there are no tasks of the kind %q", kind)
	}
	return multiply(ctx, l.url, "lean_tasks", copies, map[string]string{"id": newUUID, "enqueued_at": "clock_timestamp()"})
}

// Purge deletes in batches.
func (l *lean) Purge(ctx context.Context) (deleted int, err error) {
	const batch = 10_000
	for {
		tag, err := l.pool.Exec(ctx, leanPurge, batch)
		deleted += int(tag.RowsAffected())
		if err != nil || tag.RowsAffected() < batch {
			return deleted, err
		}
	}
}

// deliver serves POST /tasks/execute/ID/ with a function that runs one task.
func deliver(run func(ctx context.Context, id uuid.UUID) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tasks/execute/{id}/", func(w http.ResponseWriter, r *http.Request) {
		id, err := uuid.Parse(r.PathValue("id"))
		if err == nil {
			err = run(r.Context(), id)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"executed":true,"result":null}`))
	})
	return mux
}

func (l *lean) ids(ctx context.Context) ([]string, error) {
	return list(ctx, l.url, `SELECT id::text FROM lean_tasks WHERE status = 0`)
}

// insertBatch stores n tasks in one statement.
func (l *lean) insertBatch(ctx context.Context, n int) error {
	ids, tasks, args := make([]pgtype.UUID, n), make([]string, n), make([]string, n)
	for i := range n {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		ids[i], tasks[i], args[i] = pgID(id), taskName, string(sampleJSON)
	}
	_, err := l.pool.Exec(ctx, leanInsertMany, ids, tasks, args)
	return err
}

func pgID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }

// claimBatch takes the next tasks, at most most, under one claim.
func (l *lean) claimBatch(ctx context.Context, claim pgtype.UUID, most int) (ids []pgtype.UUID, err error) {
	rows, err := l.pool.Query(ctx, leanClaimNextMany, claim, most)
	if err != nil {
		return nil, err
	}
	var id pgtype.UUID
	var args []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &args}, func() error {
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

// timed calls claimed with the time since began.
func timed(claimed func(time.Duration), began time.Time) {
	if claimed != nil {
		claimed(time.Since(began))
	}
}

// errMissed says that a statement under the fence changed nothing.
func errMissed(what string, id uuid.UUID) error {
	return fmt.Errorf("%s task %s: no such row", what, id)
}
