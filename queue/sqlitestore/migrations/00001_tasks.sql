-- +goose Up

-- Times are microseconds since 1970, UTC. JSON and IDs are text.
CREATE TABLE claimcheck_tasks (
    id                TEXT    NOT NULL PRIMARY KEY,
    task_path         TEXT    NOT NULL,
    queue_name        TEXT    NOT NULL,
    backend_name      TEXT    NOT NULL,
    priority          INTEGER NOT NULL,
    status            TEXT    NOT NULL,
    hold              INTEGER NOT NULL,          -- why a pull claim may not take a READY row now: 0 none, 1 its time has not come
    args              TEXT    NOT NULL,
    run_after         INTEGER,                   -- hard: nobody runs it before
    retry_at          INTEGER,                   -- soft: a delivery may; never earlier than run_after
    dispatch_due_at   INTEGER NOT NULL,          -- when a READY row should have been claimed
    dispatch_tries    INTEGER NOT NULL DEFAULT 0,
    dispatch_error    TEXT,
    enqueued_at       INTEGER NOT NULL,
    started_at        INTEGER,
    last_attempted_at INTEGER,
    finished_at       INTEGER,
    attempts          INTEGER NOT NULL DEFAULT 0,
    max_attempts      INTEGER NOT NULL,
    interruptions     INTEGER NOT NULL DEFAULT 0,
    timeout_ms        INTEGER,
    claim_id          TEXT,                      -- the fence
    lease_expires_at  INTEGER,
    worker_ids        TEXT    NOT NULL DEFAULT '[]',
    return_value      TEXT,
    errors            TEXT                       -- the whole list
) STRICT;

-- Pull claims take the first rows of this index.
CREATE INDEX claimcheck_tasks_claim ON claimcheck_tasks (priority DESC, enqueued_at, id)
    WHERE status = 'READY' AND hold = 0;
-- Rows that wait for their time, the next one first.
CREATE INDEX claimcheck_tasks_held ON claimcheck_tasks (coalesce(retry_at, run_after))
    WHERE status = 'READY' AND hold = 1;
-- Leases, the first to expire first.
CREATE INDEX claimcheck_tasks_lease ON claimcheck_tasks (lease_expires_at)
    WHERE status = 'RUNNING';
-- Rows that should have been claimed: the sweeper's.
CREATE INDEX claimcheck_tasks_dispatch ON claimcheck_tasks (dispatch_due_at)
    WHERE status = 'READY';

-- +goose Down
DROP TABLE claimcheck_tasks;
