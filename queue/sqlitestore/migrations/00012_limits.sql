-- +goose Up

-- What counts the starts of limits: one row for each start within the period.
CREATE TABLE claimcheck_slots (
    kind      TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    limit_key TEXT    NOT NULL,
    n         INTEGER NOT NULL, -- 0: what claims of the limit lock; the others count its starts
    used_at   INTEGER NOT NULL,
    PRIMARY KEY (kind, name, limit_key, n)
) STRICT;

-- Rows that wait for a limit, of each lane the first one first.
CREATE INDEX claimcheck_tasks_limited ON claimcheck_tasks (backend_name || '|' || queue_name || '|' || task_path || '|' || coalesce(limit_key, ''), priority DESC, enqueued_at, id)
    WHERE status = 'READY' AND hold >= 3;
-- Those of them whose tickets are on their way.
CREATE INDEX claimcheck_tasks_admitted ON claimcheck_tasks (dispatch_due_at)
    WHERE status = 'READY' AND hold = 4;

-- +goose Down
DROP INDEX claimcheck_tasks_admitted;
DROP INDEX claimcheck_tasks_limited;
DROP TABLE claimcheck_slots;
