-- +goose Up

-- How tasks have ended, by hour and type; an hour has at most some hundred rows. They outlive
-- the tasks. Sweeps write them, one at a time. histograms are those of queue.Outcomes.
CREATE TABLE IF NOT EXISTS claimcheck_figures (
    hour         timestamptz NOT NULL,
    task_path    text        NOT NULL, -- empty: of types beyond the limit
    queue_name   text        NOT NULL,
    backend_name text        NOT NULL,
    succeeded    bigint      NOT NULL,
    failed       bigint      NOT NULL,
    cancelled    bigint      NOT NULL,
    retried      bigint      NOT NULL, -- attempts that did not end a task
    histograms   bytea       NOT NULL,
    PRIMARY KEY (hour, backend_name, queue_name, task_path)
);

-- The figures have the rows that finished before counted_to, which follows that of
-- claimcheck_counting. The first sweep that counts inserts the row, so that a dump of data
-- can be restored before. To count what is still there again, delete this row and all
-- figures in one transaction.
CREATE TABLE IF NOT EXISTS claimcheck_figures_state (
    id         boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (id),
    counted_to timestamptz NOT NULL
);

-- Rows that a step may not find where it counts, written by the triggers: removed, before
-- they were counted; or not removed, and finished by a transaction that began more than
-- five seconds before. The first count if a step reaches their time, because it does not
-- see the row; the others if it is past that. A step counts rows and consumes these in one
-- statement, so that it sees a row or what replaces it.
CREATE TABLE IF NOT EXISTS claimcheck_figures_pending (
    removed           boolean     NOT NULL,
    status            text        NOT NULL,
    backend_name      text        NOT NULL,
    queue_name        text        NOT NULL,
    task_path         text        NOT NULL,
    attempts          integer     NOT NULL,
    enqueued_at       timestamptz NOT NULL,
    run_after         timestamptz,
    started_at        timestamptz,
    last_attempted_at timestamptz,
    finished_at       timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS claimcheck_figures_pending_finished ON claimcheck_figures_pending (finished_at);

-- The triggers that count finished rows write them.
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
        IF NOT is_now THEN
            INSERT INTO %1$I.claimcheck_figures_pending
            SELECT true, OLD.status, OLD.backend_name, OLD.queue_name, OLD.task_path, OLD.attempts, OLD.enqueued_at, OLD.run_after, OLD.started_at, OLD.last_attempted_at, OLD.finished_at
            WHERE OLD.finished_at >= coalesce((SELECT counted_to FROM %1$I.claimcheck_figures_state), '-infinity');
        ELSIF NEW.finished_at < OLD.finished_at THEN
            INSERT INTO %1$I.claimcheck_figures_pending
            SELECT false, NEW.status, NEW.backend_name, NEW.queue_name, NEW.task_path, NEW.attempts, NEW.enqueued_at, NEW.run_after, NEW.started_at, NEW.last_attempted_at, NEW.finished_at
            FROM %1$I.claimcheck_figures_state AS s WHERE OLD.finished_at >= s.counted_to AND NEW.finished_at < s.counted_to;
        END IF;
        INSERT INTO %1$I.claimcheck_changes (at, status, backend_name, queue_name, task_path, n)
        VALUES (%1$I.claimcheck_period(OLD.finished_at), OLD.status, OLD.backend_name, OLD.queue_name, OLD.task_path, -1);
    END IF;
    IF is_now THEN
        IF TG_OP = 'UPDATE' AND NOT was THEN
            INSERT INTO %1$I.claimcheck_figures_pending
            VALUES (false, NEW.status, NEW.backend_name, NEW.queue_name, NEW.task_path, NEW.attempts, NEW.enqueued_at, NEW.run_after, NEW.started_at, NEW.last_attempted_at, NEW.finished_at);
        END IF;
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
    INSERT INTO %1$I.claimcheck_figures_pending
    SELECT true, d.status, d.backend_name, d.queue_name, d.task_path, d.attempts, d.enqueued_at, d.run_after, d.started_at, d.last_attempted_at, d.finished_at
    FROM deleted AS d
    WHERE d.finished_at >= coalesce((SELECT counted_to FROM %1$I.claimcheck_figures_state), '-infinity') AND isfinite(d.finished_at) AND d.status IN ('SUCCESSFUL', 'FAILED', 'CANCELLED');
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

-- +goose Down
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
DROP TABLE claimcheck_figures_pending;
DROP TABLE claimcheck_figures_state;
DROP TABLE claimcheck_figures;
