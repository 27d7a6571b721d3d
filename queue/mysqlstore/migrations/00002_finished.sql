-- +goose Up

-- Rows of each status in the order of finishing: the purge's, and the figures
-- count it without touching the table.
CREATE INDEX claimcheck_tasks_finished ON claimcheck_tasks (status, finished_at);

-- +goose Down
DROP INDEX claimcheck_tasks_finished ON claimcheck_tasks;
