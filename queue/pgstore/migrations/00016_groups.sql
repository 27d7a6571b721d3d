-- +goose Up

-- Sets of tasks, at whose end other tasks are enqueued.
CREATE TABLE IF NOT EXISTS claimcheck_groups (
    id           uuid        NOT NULL PRIMARY KEY,
    name         text        NOT NULL,
    created_at   timestamptz NOT NULL,
    closed_at    timestamptz, -- no member is added from then on
    succeeded_at timestamptz, -- when all members were found to be SUCCESSFUL
    failed_at    timestamptz, -- when one was found to have FAILED or to be CANCELLED
    on_success   text,        -- what is enqueued then
    on_failure   text
);
-- Unique, so that closing a group changes a key: a transaction that adds members locks the
-- row FOR KEY SHARE, and fails if its snapshot is from before the group was closed.
CREATE UNIQUE INDEX IF NOT EXISTS claimcheck_groups_created ON claimcheck_groups (created_at, id, closed_at);
-- Those that may have something to do.
CREATE INDEX IF NOT EXISTS claimcheck_groups_unfinished ON claimcheck_groups (id) WHERE succeeded_at IS NULL;

-- One row for each member, also when its task is deleted, so that no two ends of tasks
-- change the same row. A transaction that adds some locks the row of the group, shared, and
-- the one that closes the group locks it alone.
CREATE TABLE IF NOT EXISTS claimcheck_group_members (
    group_id uuid     NOT NULL,
    task_id  uuid     NOT NULL,
    state    smallint NOT NULL, -- 0 unfinished, 1 SUCCESSFUL, 2 FAILED, 3 CANCELLED; 4 and 5 are 0 and 1 of one that had FAILED before
    PRIMARY KEY (group_id, task_id)
);
CREATE INDEX IF NOT EXISTS claimcheck_group_members_state ON claimcheck_group_members (group_id, state);

ALTER TABLE claimcheck_tasks
    ADD COLUMN IF NOT EXISTS group_id        uuid, -- whose member it is
    ADD COLUMN IF NOT EXISTS completes_group uuid; -- whose end has enqueued it

-- The triggers that count finished rows also keep the states of members, so that what older
-- programs do with tasks, and statements by hand, change them too. Every end and every
-- reopening of a task sets its finished_at. A trigger of its own would make each statement
-- that ends a task parse another condition.
-- +goose StatementBegin
DO $migration$
BEGIN
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION %1$I.claimcheck_count_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    was boolean := false;
    is_now boolean;
BEGIN
    IF TG_RELID <> %2$L::regclass AND pg_partition_root(TG_RELID) IS DISTINCT FROM %2$L::regclass THEN
        RAISE EXCEPTION 'claimcheck_count_row() is only for triggers of claimcheck_tasks, not of %%', TG_RELID::regclass USING ERRCODE = 'wrong_object_type';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NEW.group_id IS NOT NULL THEN
            IF NEW.status <> OLD.status THEN
                UPDATE %1$I.claimcheck_group_members AS m
                SET state = CASE NEW.status WHEN 'FAILED' THEN 2 WHEN 'CANCELLED' THEN 3 ELSE
                    CASE NEW.status WHEN 'SUCCESSFUL' THEN 1 ELSE 0 END + CASE WHEN m.state >= 2 THEN 4 ELSE 0 END END
                WHERE m.group_id = NEW.group_id AND m.task_id = NEW.id;
            END IF;
            IF OLD.finished_at IS NULL AND (NEW.finished_at < clock_timestamp() - interval '5 seconds') IS NOT TRUE THEN
                RETURN NULL; -- the rest is about other rows
            END IF;
        END IF;
        was := OLD.finished_at IS NOT NULL AND OLD.status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED');
    END IF;
    is_now := NEW.finished_at IS NOT NULL AND NEW.status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED');
    IF TG_OP = 'UPDATE' AND was AND is_now AND (OLD.finished_at, OLD.status, OLD.backend_name, OLD.queue_name, OLD.task_path)
        = (NEW.finished_at, NEW.status, NEW.backend_name, NEW.queue_name, NEW.task_path) THEN
        RETURN NULL;
    END IF;
    IF was THEN
        INSERT INTO %1$I.claimcheck_changes (at, status, backend_name, queue_name, task_path, n)
        VALUES (%1$I.claimcheck_period(OLD.finished_at), OLD.status, OLD.backend_name, OLD.queue_name, OLD.task_path, -1);
    END IF;
    IF is_now THEN
        INSERT INTO %1$I.claimcheck_changes (at, status, backend_name, queue_name, task_path, n)
        VALUES (%1$I.claimcheck_period(NEW.finished_at), NEW.status, NEW.backend_name, NEW.queue_name, NEW.task_path, 1);
    END IF;
    RETURN NULL;
END
$function$;

-- A member that is deleted before its end counts as cancelled.
CREATE OR REPLACE FUNCTION %1$I.claimcheck_count_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF TG_RELID <> %2$L::regclass AND pg_partition_root(TG_RELID) IS DISTINCT FROM %2$L::regclass THEN
        RAISE EXCEPTION 'claimcheck_count_deleted() is only for triggers of claimcheck_tasks, not of %%', TG_RELID::regclass USING ERRCODE = 'wrong_object_type';
    END IF;
    INSERT INTO %1$I.claimcheck_changes (at, status, backend_name, queue_name, task_path, n)
    SELECT %1$I.claimcheck_period(finished_at), status, backend_name, queue_name, task_path, -count(*)
    FROM deleted WHERE finished_at IS NOT NULL AND status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED')
    GROUP BY 1, 2, 3, 4, 5;
    IF EXISTS (SELECT FROM deleted WHERE group_id IS NOT NULL AND status IN ('READY', 'RUNNING')) THEN
        UPDATE %1$I.claimcheck_group_members AS m SET state = 3
        FROM deleted AS d WHERE d.group_id IS NOT NULL AND d.status IN ('READY', 'RUNNING') AND m.group_id = d.group_id AND m.task_id = d.id;
    END IF;
    RETURN NULL;
END
$function$
    $create$, current_schema(), format('%I.claimcheck_tasks', current_schema()));
END
$migration$;
-- +goose StatementEnd
DROP TRIGGER claimcheck_count_finished ON claimcheck_tasks;
CREATE TRIGGER claimcheck_count_finished AFTER UPDATE OF finished_at, backend_name, queue_name, task_path ON claimcheck_tasks
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL OR NEW.group_id IS NOT NULL OR NEW.finished_at < clock_timestamp() - interval '5 seconds')
    EXECUTE FUNCTION claimcheck_count_row();

-- +goose Down
DROP TRIGGER claimcheck_count_finished ON claimcheck_tasks;
CREATE TRIGGER claimcheck_count_finished AFTER UPDATE OF finished_at, backend_name, queue_name, task_path ON claimcheck_tasks
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL OR NEW.finished_at < clock_timestamp() - interval '5 seconds')
    EXECUTE FUNCTION claimcheck_count_row();
-- +goose StatementBegin
DO $migration$
BEGIN
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION %1$I.claimcheck_count_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
    was boolean := false;
    is_now boolean;
BEGIN
    IF TG_RELID <> %2$L::regclass AND pg_partition_root(TG_RELID) IS DISTINCT FROM %2$L::regclass THEN
        RAISE EXCEPTION 'claimcheck_count_row() is only for triggers of claimcheck_tasks, not of %%', TG_RELID::regclass USING ERRCODE = 'wrong_object_type';
    END IF;
    is_now := NEW.finished_at IS NOT NULL AND NEW.status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED');
    IF TG_OP = 'UPDATE' THEN
        was := OLD.finished_at IS NOT NULL AND OLD.status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED');
        IF was AND is_now AND (OLD.finished_at, OLD.status, OLD.backend_name, OLD.queue_name, OLD.task_path)
            = (NEW.finished_at, NEW.status, NEW.backend_name, NEW.queue_name, NEW.task_path) THEN
            RETURN NULL;
        END IF;
    END IF;
    IF was THEN
        INSERT INTO %1$I.claimcheck_changes (at, status, backend_name, queue_name, task_path, n)
        VALUES (%1$I.claimcheck_period(OLD.finished_at), OLD.status, OLD.backend_name, OLD.queue_name, OLD.task_path, -1);
    END IF;
    IF is_now THEN
        INSERT INTO %1$I.claimcheck_changes (at, status, backend_name, queue_name, task_path, n)
        VALUES (%1$I.claimcheck_period(NEW.finished_at), NEW.status, NEW.backend_name, NEW.queue_name, NEW.task_path, 1);
    END IF;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION %1$I.claimcheck_count_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF TG_RELID <> %2$L::regclass AND pg_partition_root(TG_RELID) IS DISTINCT FROM %2$L::regclass THEN
        RAISE EXCEPTION 'claimcheck_count_deleted() is only for triggers of claimcheck_tasks, not of %%', TG_RELID::regclass USING ERRCODE = 'wrong_object_type';
    END IF;
    INSERT INTO %1$I.claimcheck_changes (at, status, backend_name, queue_name, task_path, n)
    SELECT %1$I.claimcheck_period(finished_at), status, backend_name, queue_name, task_path, -count(*)
    FROM deleted WHERE finished_at IS NOT NULL AND status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED')
    GROUP BY 1, 2, 3, 4, 5;
    RETURN NULL;
END
$function$
    $create$, current_schema(), format('%I.claimcheck_tasks', current_schema()));
END
$migration$;
-- +goose StatementEnd
ALTER TABLE claimcheck_tasks DROP COLUMN group_id, DROP COLUMN completes_group;
DROP TABLE claimcheck_group_members;
DROP TABLE claimcheck_groups;
