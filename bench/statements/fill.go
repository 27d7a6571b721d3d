package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// finished stores rows that finished evenly over the last 30 days, in that order: 97 % of
// them SUCCESSFUL, 2 % FAILED, 1 % CANCELLED, of 20 types on 8 queues. There is no
// trigger yet that would count each of them.
const finished = `
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, hold, args, dispatch_due_at, enqueued_at, started_at, last_attempted_at, finished_at, attempts, max_attempts, claim_id, worker_ids, return_value, errors, error_group, error_text)
SELECT (lpad(to_hex((extract(epoch FROM t)*1000)::bigint), 12, '0') || '7000' || '8' || lpad(to_hex(n), 15, '0'))::uuid,
 'app.task_' || n::bigint*7919 %% 20, 'queue-' || n::bigint*7919 %% 20 %% 8, 'default', 0, s, NULL, '{"order": 1234567, "customer": "c-0042", "note": "a small JSON object as argument, 94 b"}',
 t, t, t, t, t + interval '2 seconds', 1, 10, gen_random_uuid(), '{worker-1}', '{"ok": true, "value": 1234567, "took": "12ms"}',
 CASE WHEN s = 'FAILED' THEN '[{"exception_class_path":"*errors.errorString","message":"no such customer","traceback":"main.go:12","attempt":1,"at":"2026-01-01T00:00:00Z"}]'::json END,
 CASE WHEN s = 'FAILED' THEN '*errors.errorString no such customer' END, CASE WHEN s = 'FAILED' THEN 'no such customer' END
FROM generate_series(1, %[1]d) AS n, LATERAL (SELECT now() - (%[1]d - n) * (interval '30 days' / %[1]d) - interval '5 seconds' AS t, CASE WHEN n::bigint*31 %% 100 < 97 THEN 'SUCCESSFUL' WHEN n::bigint*31 %% 100 < 99 THEN 'FAILED' ELSE 'CANCELLED' END AS s) AS v`

// live stores 3 % as many that are pending, 2 % that are delayed, and 200 RUNNING ones.
const live = `
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, hold, args, run_after, dispatch_due_at, enqueued_at, attempts, max_attempts, claim_id, lease_expires_at, started_at, last_attempted_at)
SELECT gen_random_uuid(), 'app.task_' || n %% 20, 'queue-' || n %% 20 %% 8, 'default', 0, k.status, k.hold, '{"order": 1234567, "customer": "c-0042", "note": "a small JSON object as argument, 94 b"}',
 CASE WHEN k.hold = 1 THEN now() + n * interval '1 second' END, now() + interval '10 minutes' + CASE WHEN k.hold = 1 THEN n * interval '1 second' ELSE '0' END, now() - n * interval '1 ms', k.a, 10, CASE WHEN k.a=1 THEN gen_random_uuid() END,
 CASE WHEN k.a = 1 THEN now() + interval '1 hour' END, CASE WHEN k.a=1 THEN now() END, CASE WHEN k.a=1 THEN now() END
FROM (VALUES ('READY', 0, 0, 0.03*%[1]d), ('READY', 1, 0, 0.02*%[1]d), ('RUNNING', NULL, 1, 200)) AS k(status, hold, a, c), LATERAL generate_series(1, k.c::int) AS n`

// fill stores the rows without indexes and triggers, which is several times faster.
func fill(ctx context.Context, url string, rows int) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var indexes []string
	err = conn.QueryRow(ctx, `SELECT array_agg(pg_get_indexdef(indexrelid)) FROM pg_index
		WHERE indrelid = 'claimcheck_tasks'::regclass AND NOT indisprimary`).Scan(&indexes)
	if err != nil {
		return err
	}
	statements := []string{
		`DO $$ DECLARE i regclass; BEGIN FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid = 'claimcheck_tasks'::regclass AND NOT indisprimary
			LOOP EXECUTE format('DROP INDEX %s', i); END LOOP; END $$`,
		`ALTER TABLE claimcheck_tasks DROP CONSTRAINT claimcheck_tasks_pkey`, `ALTER TABLE claimcheck_tasks DISABLE TRIGGER USER`,
		fmt.Sprintf(finished, rows), fmt.Sprintf(live, rows),
		`ALTER TABLE claimcheck_tasks ENABLE TRIGGER USER`, `SET maintenance_work_mem = '512MB'`, `ALTER TABLE claimcheck_tasks ADD PRIMARY KEY (id)`,
	}
	for _, sql := range append(append(statements, indexes...), `VACUUM (ANALYZE) claimcheck_tasks`) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.60s: %w", sql, err)
		}
	}
	return nil
}
