-- +goose Up

-- The key with which the values of a row are encrypted; NULL: they are not. A claim leaves
-- out rows whose key its program does not have. The index counts the rows of each key.
ALTER TABLE claimcheck_tasks ADD COLUMN key_id text;
CREATE INDEX claimcheck_tasks_key ON claimcheck_tasks (key_id) WHERE key_id IS NOT NULL;

-- +goose Down
DROP INDEX claimcheck_tasks_key;
ALTER TABLE claimcheck_tasks DROP COLUMN key_id;
