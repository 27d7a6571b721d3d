-- +goose Up

-- Idempotency keys: the rows that hold theirs. A row whose period is over stays in it
-- until another one wants the key. A row that ends leaves it without a write of its own.
CREATE UNIQUE INDEX claimcheck_tasks_unique ON claimcheck_tasks (task_path, unique_key)
    WHERE unique_scope = 2 OR unique_scope = 1 AND (status = 'READY' OR status = 'RUNNING');

-- +goose Down
DROP INDEX claimcheck_tasks_unique;
