-- +goose Up

-- What lists and groups need of the last error, apart from the long list.
ALTER TABLE claimcheck_tasks ADD COLUMN error_group VARCHAR(255), ADD COLUMN error_text VARCHAR(600);

-- +goose Down
ALTER TABLE claimcheck_tasks DROP COLUMN error_group, DROP COLUMN error_text;
