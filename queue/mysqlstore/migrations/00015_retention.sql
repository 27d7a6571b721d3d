-- +goose Up

-- on_failed is what a final failure enqueues. retention_at has, for rows that never
-- started, when they expire, and for others, when they are deleted, as a negative
-- number, or when they ended if an old program has ended them, which sets no delete_at:
-- one index instead of two, since all rows are in it.
ALTER TABLE claimcheck_tasks
    ADD COLUMN on_failed LONGTEXT COMMENT 'what a final failure enqueues',
    ADD COLUMN retention_at BIGINT GENERATED ALWAYS AS (CASE WHEN status = 'READY' AND started_at IS NULL THEN expires_at
        ELSE -coalesce(delete_at, CASE WHEN keep_successful IS NOT NULL THEN finished_at END) END) STORED,
    ADD INDEX claimcheck_tasks_retention (retention_at);

-- +goose Down
ALTER TABLE claimcheck_tasks DROP INDEX claimcheck_tasks_retention, DROP COLUMN retention_at, DROP COLUMN on_failed;
