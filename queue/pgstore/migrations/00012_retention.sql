-- +goose Up

-- What a final failure enqueues; NULL in most rows.
ALTER TABLE claimcheck_tasks ADD COLUMN on_failed text;

-- Rows that never started by when they expire (1), and ended rows by when they are
-- deleted (0). One index, because other rows pay for its condition only.
--
-- Not CONCURRENTLY, as in 00002.
CREATE INDEX IF NOT EXISTS claimcheck_tasks_retention ON claimcheck_tasks
    ((CASE WHEN status = 'READY' AND started_at IS NULL THEN 1 ELSE 0 END), (CASE WHEN status = 'READY' AND started_at IS NULL THEN expires_at ELSE delete_at END))
    WHERE expires_at IS NOT NULL OR delete_at IS NOT NULL;

-- +goose Down
DROP INDEX claimcheck_tasks_retention;
ALTER TABLE claimcheck_tasks DROP COLUMN on_failed;
