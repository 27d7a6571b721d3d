-- +goose Up

-- Idempotency keys, after the task's name and a zero byte: NULL for rows that do not hold
-- theirs. A row whose period is over holds it until another one wants the key. A row that
-- ends releases it without a write of its own. Stored, as the other generated columns
-- are, so that the table is copied.
ALTER TABLE claimcheck_tasks ADD COLUMN unique_held VARBINARY(1221)
    GENERATED ALWAYS AS (CASE WHEN unique_scope = 2 OR unique_scope = 1 AND status IN ('READY', 'RUNNING') THEN CONCAT(task_path, 0x00, unique_key) END) STORED;

-- +goose Down
ALTER TABLE claimcheck_tasks DROP COLUMN unique_held;
