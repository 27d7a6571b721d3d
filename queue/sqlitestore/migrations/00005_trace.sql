-- +goose Up

-- The trace that a task was enqueued in; NULL when nobody traced.
ALTER TABLE claimcheck_tasks ADD COLUMN trace_context TEXT;

-- +goose Down
ALTER TABLE claimcheck_tasks DROP COLUMN trace_context;
