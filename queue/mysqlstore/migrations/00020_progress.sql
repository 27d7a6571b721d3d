-- +goose Up

-- What running tasks report, and what they keep for their next attempt; NULL in most rows.
ALTER TABLE claimcheck_tasks
    ADD COLUMN progress_done BIGINT,
    ADD COLUMN progress_total BIGINT,
    ADD COLUMN note TEXT,
    ADD COLUMN checkpoint LONGTEXT COMMENT 'JSON';

-- +goose Down
ALTER TABLE claimcheck_tasks
    DROP COLUMN checkpoint,
    DROP COLUMN note,
    DROP COLUMN progress_total,
    DROP COLUMN progress_done;
