-- +goose Up

-- What lists and groups need of the last error, apart from the long list.
ALTER TABLE claimcheck_tasks ADD COLUMN error_group TEXT;
ALTER TABLE claimcheck_tasks ADD COLUMN error_text TEXT;

-- When something last happened, such as a sweep.
CREATE TABLE claimcheck_marks (
    name TEXT    NOT NULL PRIMARY KEY,
    at   INTEGER NOT NULL
) STRICT;

-- Who did what.
CREATE TABLE claimcheck_audit (
    id      TEXT    NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    task_id TEXT,
    target  TEXT    NOT NULL,
    done    INTEGER NOT NULL,
    failed  INTEGER NOT NULL,
    ended   INTEGER NOT NULL
) STRICT;
CREATE INDEX claimcheck_audit_at ON claimcheck_audit (at);
CREATE INDEX claimcheck_audit_task ON claimcheck_audit (task_id, at) WHERE task_id IS NOT NULL;

-- +goose Down
DROP TABLE claimcheck_audit;
DROP TABLE claimcheck_marks;
ALTER TABLE claimcheck_tasks DROP COLUMN error_group;
ALTER TABLE claimcheck_tasks DROP COLUMN error_text;
