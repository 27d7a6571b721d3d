-- +goose Up

-- What only some rows have; NULL in the others, which become no larger.
ALTER TABLE claimcheck_tasks
    ADD COLUMN IF NOT EXISTS unique_key      text,        -- idempotency key, of the task's name
    ADD COLUMN IF NOT EXISTS unique_scope    smallint,    -- how long the row holds it: 1 until it has ended, 2 until unique_until, or, if that is NULL, while the row exists; NULL: no longer
    ADD COLUMN IF NOT EXISTS unique_until    timestamptz,
    ADD COLUMN IF NOT EXISTS schedule        text,        -- the schedule whose occurrence it is
    ADD COLUMN IF NOT EXISTS scheduled_for   timestamptz, -- the time of the occurrence
    ADD COLUMN IF NOT EXISTS limit_key       text,        -- what limits for each key count it under
    ADD COLUMN IF NOT EXISTS expires_at      timestamptz, -- not started from then on
    ADD COLUMN IF NOT EXISTS keep_successful integer,     -- how long the ended row is kept, in seconds; both or neither
    ADD COLUMN IF NOT EXISTS keep_failed     integer,
    ADD COLUMN IF NOT EXISTS delete_at       timestamptz; -- of an ended row with the two before

-- +goose Down
ALTER TABLE claimcheck_tasks DROP COLUMN unique_key, DROP COLUMN unique_scope, DROP COLUMN unique_until, DROP COLUMN schedule, DROP COLUMN scheduled_for,
    DROP COLUMN limit_key, DROP COLUMN expires_at, DROP COLUMN keep_successful, DROP COLUMN keep_failed, DROP COLUMN delete_at;
