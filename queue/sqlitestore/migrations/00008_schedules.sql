-- +goose Up

-- Which tasks are enqueued when.
CREATE TABLE claimcheck_schedules (
    name         TEXT    NOT NULL PRIMARY KEY,
    task_path    TEXT    NOT NULL,
    spec         TEXT    NOT NULL,
    zone         TEXT    NOT NULL,
    args         TEXT    NOT NULL,
    queue_name   TEXT    NOT NULL,
    backend_name TEXT    NOT NULL,
    priority     INTEGER NOT NULL,
    options      TEXT    NOT NULL,
    catch_up     TEXT    NOT NULL,
    overlap      TEXT    NOT NULL,
    paused_at    INTEGER,
    paused_by    TEXT    NOT NULL,
    program      TEXT    NOT NULL, -- whose code defines it; empty: made at run time
    definition   TEXT    NOT NULL, -- hash of what the code defines
    removed_at   INTEGER,          -- it is in the code no more
    anchored_at  INTEGER NOT NULL, -- where the intervals of @every begin
    next_at      INTEGER,          -- of the next occurrence that is to be enqueued; NULL while paused or removed
    last_at      INTEGER,
    last_task_id TEXT,
    made         INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL
) STRICT;

-- What is due, the earliest first: ticks, and the probe of every promotion.
CREATE INDEX claimcheck_schedules_next ON claimcheck_schedules (next_at);

-- The latest times of each schedule. An occurrence is enqueued once, whatever became of
-- its task since.
CREATE TABLE claimcheck_occurrences (
    schedule      TEXT    NOT NULL,
    scheduled_for INTEGER NOT NULL,
    task_id       TEXT, -- NULL: none was enqueued
    skipped       TEXT, -- why
    PRIMARY KEY (schedule, scheduled_for)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE claimcheck_occurrences;
DROP TABLE claimcheck_schedules;
