-- +goose Up

-- READY rows by when they should have been claimed, each queue apart, so that
-- the sweeper can be fair between queues and leave out one that is failing.
CREATE INDEX claimcheck_tasks_outbox ON claimcheck_tasks (backend_name, queue_name, dispatch_due_at)
    WHERE status = 'READY';
DROP INDEX claimcheck_tasks_dispatch;

-- +goose Down
CREATE INDEX claimcheck_tasks_dispatch ON claimcheck_tasks (dispatch_due_at)
    WHERE status = 'READY';
DROP INDEX claimcheck_tasks_outbox;
