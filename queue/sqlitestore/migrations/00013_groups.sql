-- +goose Up

-- Sets of tasks, at whose end other tasks are enqueued.
CREATE TABLE claimcheck_groups (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    closed_at    INTEGER, -- no member is added from then on
    succeeded_at INTEGER, -- when all members were found to be SUCCESSFUL
    failed_at    INTEGER, -- when one was found to have FAILED or to be CANCELLED
    on_success   TEXT,    -- what is enqueued then
    on_failure   TEXT
) STRICT;
CREATE INDEX claimcheck_groups_created ON claimcheck_groups (created_at, id);
-- Those that may have something to do.
CREATE INDEX claimcheck_groups_unfinished ON claimcheck_groups (succeeded_at, id);

-- One row for each member, also when its task is deleted.
CREATE TABLE claimcheck_group_members (
    group_id TEXT    NOT NULL,
    task_id  TEXT    NOT NULL,
    state    INTEGER NOT NULL, -- 0 unfinished, 1 SUCCESSFUL, 2 FAILED, 3 CANCELLED; 4 and 5 are 0 and 1 of one that had FAILED before
    PRIMARY KEY (group_id, task_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX claimcheck_group_members_state ON claimcheck_group_members (group_id, state);

ALTER TABLE claimcheck_tasks ADD COLUMN group_id TEXT;        -- whose member it is
ALTER TABLE claimcheck_tasks ADD COLUMN completes_group TEXT; -- whose end has enqueued it

-- The least version that may claim while there are gates, and that may claim members of
-- groups, whose ends an older program would not count: see 00011. This one is 82.
DROP TRIGGER claimcheck_claim_version;
-- +goose StatementBegin
CREATE TRIGGER claimcheck_claim_version BEFORE UPDATE OF claim_id ON claimcheck_tasks
WHEN NEW.status = 'RUNNING' AND NEW.claim_id IS NOT OLD.claim_id AND substr(NEW.claim_id, 15, 2) < '82'
    AND (NEW.group_id IS NOT NULL OR substr(NEW.claim_id, 15, 2) < '81' AND EXISTS (SELECT 1 FROM claimcheck_gates WHERE paused_at IS NOT NULL OR parked OR running IS NOT NULL OR starts IS NOT NULL))
BEGIN
    SELECT RAISE(ABORT, 'this program is too old to claim tasks: queues of this database are paused or limited, or the task is in a group, which it does not know');
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER claimcheck_claim_version;
-- +goose StatementBegin
CREATE TRIGGER claimcheck_claim_version BEFORE UPDATE OF claim_id ON claimcheck_tasks
WHEN NEW.status = 'RUNNING' AND NEW.claim_id IS NOT OLD.claim_id AND substr(NEW.claim_id, 15, 2) < '81' AND EXISTS (SELECT 1 FROM claimcheck_gates WHERE paused_at IS NOT NULL OR parked OR running IS NOT NULL OR starts IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'this program is too old to claim tasks: queues of this database are paused or limited, which it does not know');
END;
-- +goose StatementEnd
ALTER TABLE claimcheck_tasks DROP COLUMN group_id;
ALTER TABLE claimcheck_tasks DROP COLUMN completes_group;
DROP TABLE claimcheck_group_members;
DROP TABLE claimcheck_groups;
