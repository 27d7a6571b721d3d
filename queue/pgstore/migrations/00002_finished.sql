-- +goose NO TRANSACTION
-- Nobody waits while the index is built. A build that was cut off leaves an
-- index that is invalid, and that IF NOT EXISTS would take for done: hence DROP.

-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS claimcheck_tasks_finished;
-- Rows that have ended, each status in the order of finishing: the purge's, and
-- the figures count it without touching the table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS claimcheck_tasks_finished ON claimcheck_tasks (status, finished_at)
    WHERE finished_at IS NOT NULL;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS claimcheck_tasks_finished;
