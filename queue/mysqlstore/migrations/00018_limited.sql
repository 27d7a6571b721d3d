-- +goose Up

-- Rows that wait for a limit, of each lane the first one first, and those of them whose
-- tickets are on their way. The columns are NULL for other rows.
ALTER TABLE claimcheck_tasks
    ADD COLUMN limit_lane VARBINARY(767) GENERATED ALWAYS AS (CASE WHEN status = 'READY' AND hold >= 3 THEN CONCAT(backend_name, '|', queue_name, '|', task_path, '|', coalesce(limit_key, '')) END) VIRTUAL,
    ADD COLUMN limit_order SMALLINT GENERATED ALWAYS AS (CASE WHEN status = 'READY' AND hold >= 3 THEN -priority END) VIRTUAL,
    ADD COLUMN admitted_until BIGINT GENERATED ALWAYS AS (CASE WHEN status = 'READY' AND hold = 4 THEN dispatch_due_at END) VIRTUAL,
    ADD INDEX claimcheck_tasks_limited (limit_lane, limit_order, enqueued_at, id),
    ADD INDEX claimcheck_tasks_admitted (admitted_until);

-- +goose Down
ALTER TABLE claimcheck_tasks
    DROP INDEX claimcheck_tasks_limited,
    DROP INDEX claimcheck_tasks_admitted,
    DROP COLUMN limit_lane,
    DROP COLUMN admitted_until,
    DROP COLUMN limit_order;
