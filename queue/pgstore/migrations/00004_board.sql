-- +goose Up

-- What lists and groups need of the last error, apart from the long list.
ALTER TABLE claimcheck_tasks ADD COLUMN error_group text, ADD COLUMN error_text text;

-- When something last happened, such as a sweep.
CREATE TABLE claimcheck_marks (
    name text        NOT NULL PRIMARY KEY,
    at   timestamptz NOT NULL
);

-- Who did what.
CREATE TABLE claimcheck_audit (
    id      uuid        NOT NULL PRIMARY KEY,
    at      timestamptz NOT NULL,
    actor   text        NOT NULL,
    action  text        NOT NULL,
    task_id uuid,
    target  text        NOT NULL,
    done    integer     NOT NULL,
    failed  integer     NOT NULL,
    ended   boolean     NOT NULL
);
CREATE INDEX claimcheck_audit_at ON claimcheck_audit (at);
CREATE INDEX claimcheck_audit_task ON claimcheck_audit (task_id, at) WHERE task_id IS NOT NULL;

-- +goose Down
DROP TABLE claimcheck_audit;
DROP TABLE claimcheck_marks;
ALTER TABLE claimcheck_tasks DROP COLUMN error_group, DROP COLUMN error_text;
