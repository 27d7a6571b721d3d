-- +goose Up

-- What a final failure enqueues; NULL in most rows.
ALTER TABLE claimcheck_tasks ADD COLUMN on_failed TEXT;

-- Rows that never started, by when they expire.
CREATE INDEX claimcheck_tasks_expiry ON claimcheck_tasks (expires_at)
    WHERE expires_at IS NOT NULL AND status = 'READY' AND started_at IS NULL;
-- Ended rows, by when they are deleted, or by their end if an old program has ended them,
-- which sets no delete_at.
CREATE INDEX claimcheck_tasks_delete ON claimcheck_tasks (coalesce(delete_at, finished_at))
    WHERE delete_at IS NOT NULL OR keep_successful IS NOT NULL AND finished_at IS NOT NULL;

-- +goose Down
DROP INDEX claimcheck_tasks_expiry;
DROP INDEX claimcheck_tasks_delete;
ALTER TABLE claimcheck_tasks DROP COLUMN on_failed;
