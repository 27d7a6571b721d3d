-- +goose Up

-- What running tasks report, and what they keep for their next attempt; NULL in most rows.
ALTER TABLE claimcheck_tasks ADD COLUMN progress_done INTEGER;
ALTER TABLE claimcheck_tasks ADD COLUMN progress_total INTEGER;
ALTER TABLE claimcheck_tasks ADD COLUMN note TEXT;
ALTER TABLE claimcheck_tasks ADD COLUMN checkpoint TEXT;

-- +goose Down
ALTER TABLE claimcheck_tasks DROP COLUMN checkpoint;
ALTER TABLE claimcheck_tasks DROP COLUMN note;
ALTER TABLE claimcheck_tasks DROP COLUMN progress_total;
ALTER TABLE claimcheck_tasks DROP COLUMN progress_done;
