-- +goose Up

-- The key with which the values of a row are encrypted; NULL: they are not. A claim leaves
-- out rows whose key its program does not have.
ALTER TABLE claimcheck_tasks ADD COLUMN key_id VARCHAR(64) COMMENT 'key of the encrypted values';

-- +goose Down
ALTER TABLE claimcheck_tasks DROP COLUMN key_id;
