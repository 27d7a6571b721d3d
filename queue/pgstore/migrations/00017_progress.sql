-- +goose Up

-- What running tasks report, and what they keep for their next attempt; NULL in most rows.
ALTER TABLE claimcheck_tasks
    ADD COLUMN progress_done bigint,
    ADD COLUMN progress_total bigint,
    ADD COLUMN note text,
    ADD COLUMN checkpoint json;

-- +goose Down
ALTER TABLE claimcheck_tasks
    DROP COLUMN checkpoint,
    DROP COLUMN note,
    DROP COLUMN progress_total,
    DROP COLUMN progress_done;
