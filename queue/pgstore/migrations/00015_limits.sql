-- +goose Up

-- What runs and starts under a limit. A limit of n has n slots of each part, and one of
-- kind 'each' n slots for each limit key. A slot of 'running' is taken while its task is
-- RUNNING under its claim, whatever ends that; a slot of 'starts' is taken until the
-- period of the limit has passed since used_at. A slot without a claim is taken by a task
-- with hold 4 for a moment.
CREATE TABLE claimcheck_slots (
    kind     text        NOT NULL,
    name     text        NOT NULL,
    key      text        NOT NULL DEFAULT '',
    part     text        NOT NULL,
    n        integer     NOT NULL,
    task_id  uuid,
    claim_id uuid,
    used_at  timestamptz,
    PRIMARY KEY (kind, name, key, part, n)
) WITH (fillfactor = 50);

ALTER TABLE claimcheck_gates ADD COLUMN limited_at timestamptz; -- when the limits were last set
CREATE INDEX claimcheck_gates_closed ON claimcheck_gates (kind, name)
    WHERE paused_at IS NOT NULL OR running IS NOT NULL OR starts IS NOT NULL;

-- Rows that wait for a limit, of each lane the first one first.
CREATE INDEX claimcheck_tasks_limited ON claimcheck_tasks (backend_name, queue_name, task_path, (coalesce(limit_key, '')), priority DESC, enqueued_at, id)
    WHERE hold >= 3;
-- The condition of the first ones of all lanes is written so that no statement can use the
-- other index for it, with which it would read and sort all of them.
CREATE INDEX claimcheck_tasks_limited_first ON claimcheck_tasks (priority DESC, enqueued_at, id)
    WHERE hold > 2;

-- +goose Down
DROP INDEX claimcheck_tasks_limited_first;
DROP INDEX claimcheck_tasks_limited;
DROP INDEX claimcheck_gates_closed;
ALTER TABLE claimcheck_gates DROP COLUMN limited_at;
DROP TABLE claimcheck_slots;
