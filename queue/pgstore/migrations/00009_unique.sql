-- +goose Up

-- Idempotency keys: the rows that hold theirs. A row whose period is over stays in it
-- until another one wants the key. A row that ends leaves it without a write of its own.
-- A table that is partitioned (docs/scaling.md) cannot have such an index, and then its
-- rows cannot have keys.
--
-- Not CONCURRENTLY, as in 00002; no row has a key yet, so that it is only one scan.
-- +goose StatementBegin
DO $migration$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = to_regclass('claimcheck_tasks')) <> 'p' THEN
        CREATE UNIQUE INDEX IF NOT EXISTS claimcheck_tasks_unique ON claimcheck_tasks (task_path, unique_key)
            WHERE unique_scope = 2 OR unique_scope = 1 AND status IN ('READY', 'RUNNING');
    END IF;
END
$migration$;
-- +goose StatementEnd

-- +goose Down
DROP INDEX IF EXISTS claimcheck_tasks_unique;
