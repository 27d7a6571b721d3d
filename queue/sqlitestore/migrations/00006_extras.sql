-- +goose Up

-- What only some rows have; NULL in the others.
ALTER TABLE claimcheck_tasks ADD COLUMN unique_key TEXT;         -- idempotency key, of the task's name
ALTER TABLE claimcheck_tasks ADD COLUMN unique_scope INTEGER;    -- how long the row holds it: 1 until it has ended, 2 until unique_until, or, if that is NULL, while the row exists; NULL: no longer
ALTER TABLE claimcheck_tasks ADD COLUMN unique_until INTEGER;
ALTER TABLE claimcheck_tasks ADD COLUMN schedule TEXT;           -- the schedule whose occurrence it is
ALTER TABLE claimcheck_tasks ADD COLUMN scheduled_for INTEGER;   -- the time of the occurrence
ALTER TABLE claimcheck_tasks ADD COLUMN limit_key TEXT;          -- what limits for each key count it under
ALTER TABLE claimcheck_tasks ADD COLUMN expires_at INTEGER;      -- not started from then on
ALTER TABLE claimcheck_tasks ADD COLUMN keep_successful INTEGER; -- how long the ended row is kept, in seconds; both or neither
ALTER TABLE claimcheck_tasks ADD COLUMN keep_failed INTEGER;
ALTER TABLE claimcheck_tasks ADD COLUMN delete_at INTEGER;       -- of an ended row with the two before

-- +goose Down
ALTER TABLE claimcheck_tasks DROP COLUMN unique_key;
ALTER TABLE claimcheck_tasks DROP COLUMN unique_scope;
ALTER TABLE claimcheck_tasks DROP COLUMN unique_until;
ALTER TABLE claimcheck_tasks DROP COLUMN schedule;
ALTER TABLE claimcheck_tasks DROP COLUMN scheduled_for;
ALTER TABLE claimcheck_tasks DROP COLUMN limit_key;
ALTER TABLE claimcheck_tasks DROP COLUMN expires_at;
ALTER TABLE claimcheck_tasks DROP COLUMN keep_successful;
ALTER TABLE claimcheck_tasks DROP COLUMN keep_failed;
ALTER TABLE claimcheck_tasks DROP COLUMN delete_at;
