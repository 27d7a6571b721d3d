-- +goose Up

CREATE UNIQUE INDEX claimcheck_tasks_unique ON claimcheck_tasks (unique_held);

-- +goose Down
DROP INDEX claimcheck_tasks_unique ON claimcheck_tasks;
