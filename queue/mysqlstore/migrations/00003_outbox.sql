-- +goose Up

-- READY rows by when they should have been claimed, each queue apart, so that
-- the sweeper can be fair between queues and leave out one that is failing. The
-- first column is NULL for other rows.
ALTER TABLE claimcheck_tasks
    ADD COLUMN dispatch_backend VARCHAR(255) GENERATED ALWAYS AS (CASE WHEN status = 'READY' THEN backend_name END) STORED,
    ADD INDEX claimcheck_tasks_outbox (dispatch_backend, queue_name, dispatch_until),
    DROP INDEX claimcheck_tasks_dispatch;

-- +goose Down
ALTER TABLE claimcheck_tasks
    DROP INDEX claimcheck_tasks_outbox,
    DROP COLUMN dispatch_backend,
    ADD INDEX claimcheck_tasks_dispatch (dispatch_until);
