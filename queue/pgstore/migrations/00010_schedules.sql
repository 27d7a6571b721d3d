-- +goose Up

-- Which tasks are enqueued when.
CREATE TABLE IF NOT EXISTS claimcheck_schedules (
    name         text        NOT NULL PRIMARY KEY,
    task_path    text        NOT NULL,
    spec         text        NOT NULL,
    zone         text        NOT NULL,
    args         json        NOT NULL,
    queue_name   text        NOT NULL,
    backend_name text        NOT NULL,
    priority     smallint    NOT NULL,
    options      json        NOT NULL,
    catch_up     text        NOT NULL,
    overlap      text        NOT NULL,
    paused_at    timestamptz,
    paused_by    text        NOT NULL,
    program      text        NOT NULL, -- whose code defines it; empty: made at run time
    definition   text        NOT NULL, -- hash of what the code defines
    removed_at   timestamptz,          -- it is in the code no more
    anchored_at  timestamptz NOT NULL, -- where the intervals of @every begin
    next_at      timestamptz,          -- of the next occurrence that is to be enqueued; NULL while paused or removed
    last_at      timestamptz,
    last_task_id uuid,
    made         bigint      NOT NULL,
    created_at   timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL
);

-- What is due, the earliest first: ticks, and the probe of every promotion.
CREATE INDEX IF NOT EXISTS claimcheck_schedules_next ON claimcheck_schedules (next_at) WHERE next_at IS NOT NULL;

-- The latest times of each schedule. An occurrence is enqueued once, whatever became of
-- its task since.
CREATE TABLE IF NOT EXISTS claimcheck_occurrences (
    schedule      text        NOT NULL,
    scheduled_for timestamptz NOT NULL,
    task_id       uuid,       -- NULL: none was enqueued
    skipped       text,       -- why
    PRIMARY KEY (schedule, scheduled_for)
);

-- +goose Down
DROP TABLE claimcheck_occurrences;
DROP TABLE claimcheck_schedules;
