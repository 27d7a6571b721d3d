-- +goose Up

-- Rows that have ended, each status in the order of finishing: the purge's, and
-- the figures count it without touching the table.
CREATE INDEX claimcheck_tasks_finished ON claimcheck_tasks (status, finished_at)
    WHERE finished_at IS NOT NULL;

-- +goose Down
DROP INDEX claimcheck_tasks_finished;
