-- +goose Up

-- What a final failure enqueues; NULL in most rows.
ALTER TABLE claimcheck_tasks ADD COLUMN on_failed text;

-- Rows that never started by when they expire (1), and ended rows by when they are
-- deleted (0), or by their end if an old program has ended them, which sets no delete_at.
-- One index, because other rows pay for its condition only.
--
-- Not CONCURRENTLY, as in 00002.
CREATE INDEX IF NOT EXISTS claimcheck_tasks_retention ON claimcheck_tasks
    ((CASE WHEN status = 'READY' AND started_at IS NULL THEN 1 ELSE 0 END), (CASE WHEN status = 'READY' AND started_at IS NULL THEN expires_at
        ELSE coalesce(delete_at, CASE WHEN keep_successful IS NOT NULL THEN finished_at END) END))
    WHERE expires_at IS NOT NULL OR delete_at IS NOT NULL OR keep_successful IS NOT NULL AND finished_at IS NOT NULL;

-- +goose Down
DROP INDEX claimcheck_tasks_retention;
ALTER TABLE claimcheck_tasks DROP COLUMN on_failed;
