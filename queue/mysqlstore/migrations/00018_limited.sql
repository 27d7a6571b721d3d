-- +goose Up

-- Rows that wait for a limit, of each lane the first one first. The columns are NULL for
-- other rows.
ALTER TABLE claimcheck_tasks
    ADD COLUMN limit_lane VARBINARY(767) GENERATED ALWAYS AS (CASE WHEN status = 'READY' AND hold >= 3 THEN CONCAT(backend_name, '|', queue_name, '|', task_path, '|', coalesce(limit_key, '')) END) VIRTUAL,
    ADD COLUMN limit_order SMALLINT GENERATED ALWAYS AS (CASE WHEN status = 'READY' AND hold >= 3 THEN -priority END) VIRTUAL,
    ADD INDEX claimcheck_tasks_limited (limit_lane, limit_order, enqueued_at, id);

-- +goose Down
ALTER TABLE claimcheck_tasks
    DROP INDEX claimcheck_tasks_limited,
    DROP COLUMN limit_lane,
    DROP COLUMN limit_order;
