-- +goose Up

CREATE TABLE claimcheck_tasks (
    id                uuid        NOT NULL PRIMARY KEY,
    task_path         text        NOT NULL,
    queue_name        text        NOT NULL,
    backend_name      text        NOT NULL,
    priority          smallint    NOT NULL,
    status            text        NOT NULL,
    hold              smallint,                      -- why a pull claim may not take a READY row now: 0 nothing, 1 its time has not come; NULL unless READY
    args              json        NOT NULL,
    run_after         timestamptz,                   -- hard: nobody runs it before
    retry_at          timestamptz,                   -- soft: a delivery may; never earlier than run_after
    dispatch_due_at   timestamptz NOT NULL,          -- when a READY row should have been claimed
    dispatch_tries    smallint    NOT NULL DEFAULT 0,
    dispatch_error    text,
    enqueued_at       timestamptz NOT NULL,
    started_at        timestamptz,
    last_attempted_at timestamptz,
    finished_at       timestamptz,
    attempts          integer     NOT NULL DEFAULT 0,
    max_attempts      integer     NOT NULL,
    interruptions     smallint    NOT NULL DEFAULT 0,
    timeout_ms        bigint,
    claim_id          uuid,                          -- the fence
    lease_expires_at  timestamptz,
    worker_ids        text[]      NOT NULL DEFAULT '{}',
    return_value      json,
    errors            json                           -- the whole list
);

-- Pull claims take the first rows of this index. They and the next index are
-- found by hold alone: a condition on status would also fit the last one, which
-- the planner then takes, and sorts, when its statistics are old.
CREATE INDEX claimcheck_tasks_claim ON claimcheck_tasks (priority DESC, enqueued_at, id)
    WHERE hold = 0;
-- Rows that wait for their time, the next one first.
CREATE INDEX claimcheck_tasks_held ON claimcheck_tasks (coalesce(retry_at, run_after))
    WHERE hold = 1;
-- Leases, the first to expire first.
CREATE INDEX claimcheck_tasks_lease ON claimcheck_tasks (lease_expires_at)
    WHERE status = 'RUNNING';
-- Rows that should have been claimed: the sweeper's.
CREATE INDEX claimcheck_tasks_dispatch ON claimcheck_tasks (dispatch_due_at)
    WHERE status = 'READY';

-- +goose Down
DROP TABLE claimcheck_tasks;
