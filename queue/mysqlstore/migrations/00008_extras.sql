-- +goose Up

-- What only some rows have; NULL in the others.
ALTER TABLE claimcheck_tasks
    ADD COLUMN unique_key      VARBINARY(200) COMMENT 'idempotency key, of the task''s name',
    ADD COLUMN unique_scope    TINYINT      COMMENT 'how long the row holds it: 1 until it has ended, 2 until unique_until, or, if that is NULL, while the row exists; NULL: no longer',
    ADD COLUMN unique_until    BIGINT,
    ADD COLUMN schedule        VARCHAR(200) COMMENT 'the schedule whose occurrence it is',
    ADD COLUMN scheduled_for   BIGINT       COMMENT 'the time of the occurrence',
    ADD COLUMN limit_key       VARBINARY(200) COMMENT 'what limits for each key count it under',
    ADD COLUMN expires_at      BIGINT       COMMENT 'not started from then on',
    ADD COLUMN keep_successful INT          COMMENT 'how long the ended row is kept, in seconds; both or neither',
    ADD COLUMN keep_failed     INT,
    ADD COLUMN delete_at       BIGINT       COMMENT 'of an ended row with the two before';

-- +goose Down
ALTER TABLE claimcheck_tasks DROP COLUMN unique_key, DROP COLUMN unique_scope, DROP COLUMN unique_until, DROP COLUMN schedule, DROP COLUMN scheduled_for,
    DROP COLUMN limit_key, DROP COLUMN expires_at, DROP COLUMN keep_successful, DROP COLUMN keep_failed, DROP COLUMN delete_at;
