-- +goose Up

-- The trace that a task was enqueued in; NULL when nobody traced.
ALTER TABLE claimcheck_tasks ADD COLUMN trace_context VARCHAR(600) CHARACTER SET ascii COLLATE ascii_bin;

-- +goose Down
ALTER TABLE claimcheck_tasks DROP COLUMN trace_context;
