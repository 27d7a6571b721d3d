-- +goose Up

-- Rows that have ended, each status in the order of finishing: the purge's, and
-- the figures count it without touching the table.
--
-- Not CONCURRENTLY, so inserts and claims wait while it is built, one or two
-- seconds for a million rows. CONCURRENTLY waits for every transaction that had a
-- snapshot, among them those of processes that wait for the migration lock, and
-- these wait for it.
CREATE INDEX IF NOT EXISTS claimcheck_tasks_finished ON claimcheck_tasks (status, finished_at)
    WHERE finished_at IS NOT NULL;

-- +goose Down
DROP INDEX IF EXISTS claimcheck_tasks_finished;
