-- +goose Up

-- Finished rows are counted ahead of time: those with finished_at before
-- counted_to are in claimcheck_totals and claimcheck_periods, except for what
-- claimcheck_changes says; later ones are counted by their index when a figure is
-- asked for. docs/design.md says why the sum is exact. Without a row here nothing
-- has been counted, and DELETE FROM claimcheck_counting makes the sweeper count
-- again from the beginning.
CREATE TABLE claimcheck_counting (
    id          boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (id),
    counted_to  timestamptz NOT NULL,           -- like every time here a multiple of 10 s
    period      timestamptz,                    -- the start of the latest period
    period_rows bigint      NOT NULL DEFAULT 0, -- how many rows it was given
    mark_at     timestamptz,                    -- a time, and a transaction ID that was assigned then
    mark_xid    bigint,
    checked     timestamptz                     -- the start of the period that was compared with its rows last
);

-- Rows by state and queue.
CREATE TABLE claimcheck_totals (
    status       text   NOT NULL,
    backend_name text   NOT NULL,
    queue_name   text   NOT NULL,
    n            bigint NOT NULL,
    PRIMARY KEY (status, backend_name, queue_name)
);

-- The same rows by when they finished: in the period from at to the next one, which
-- is never longer than an hour by the clock.
CREATE TABLE claimcheck_periods (
    at           timestamptz NOT NULL,
    status       text        NOT NULL,
    backend_name text        NOT NULL,
    queue_name   text        NOT NULL,
    task_path    text        NOT NULL,
    n            bigint      NOT NULL,
    PRIMARY KEY (at, status, backend_name, queue_name, task_path)
);

-- What has happened to finished rows since they finished: they were deleted or
-- reopened (n < 0), or arrived with a finished_at of some time ago (n > 0).
CREATE TABLE claimcheck_changes (
    at           timestamptz NOT NULL,
    status       text        NOT NULL,
    backend_name text        NOT NULL,
    queue_name   text        NOT NULL,
    task_path    text        NOT NULL,
    n            bigint      NOT NULL
);

-- Triggers write the changes, so that those of older programs, and those made by
-- hand, are there too. They belong to the owner of the tables, so that programs
-- need no new privilege. A claim, a finish and an insert only evaluate their
-- conditions.
--
-- A role that may execute a trigger function can make it the trigger of a table of its
-- own. The types of that table's columns can have casts that call a function of that
-- role, which would then run as the owner of the tables here, possibly a superuser.
-- Therefore each function first refuses every other table, before it evaluates a column,
-- and only the owner may execute it. A dump without privileges (pg_dump -x) loses only
-- the latter. A role that writes to claimcheck_tasks needs no privilege on the functions.
-- +goose StatementBegin
DO $migration$
BEGIN
    EXECUTE format($create$
CREATE FUNCTION %1$I.claimcheck_period(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN isfinite(at) THEN date_bin(interval '10 seconds', at, timestamptz '2000-01-01 00:00:00+00') ELSE at END;

CREATE FUNCTION %1$I.claimcheck_count_row() RETURNS trigger
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

CREATE FUNCTION %1$I.claimcheck_count_deleted() RETURNS trigger
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
$function$;

CREATE FUNCTION %1$I.claimcheck_count_anew() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF TG_RELID <> %2$L::regclass AND pg_partition_root(TG_RELID) IS DISTINCT FROM %2$L::regclass AND TG_RELID <> %3$L::regclass THEN
        RAISE EXCEPTION 'claimcheck_count_anew() is only for triggers of claimcheck_tasks and claimcheck_counting, not of %%', TG_RELID::regclass USING ERRCODE = 'wrong_object_type';
    END IF;
    DELETE FROM %1$I.claimcheck_counting;
    RETURN NULL;
END
$function$;

REVOKE ALL ON FUNCTION %1$I.claimcheck_count_row(), %1$I.claimcheck_count_deleted(), %1$I.claimcheck_count_anew() FROM PUBLIC
    $create$, current_schema(), format('%I.claimcheck_tasks', current_schema()), format('%I.claimcheck_counting', current_schema()));
END
$migration$;
-- +goose StatementEnd

-- The five seconds are lateFinish in count.go.
CREATE TRIGGER claimcheck_count_finished AFTER UPDATE OF status, finished_at, backend_name, queue_name, task_path ON claimcheck_tasks
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL OR NEW.finished_at < clock_timestamp() - interval '5 seconds')
    EXECUTE FUNCTION claimcheck_count_row();
CREATE TRIGGER claimcheck_count_inserted AFTER INSERT ON claimcheck_tasks
    FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL)
    EXECUTE FUNCTION claimcheck_count_row();
CREATE TRIGGER claimcheck_count_deleted AFTER DELETE ON claimcheck_tasks
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT
    EXECUTE FUNCTION claimcheck_count_deleted();
CREATE TRIGGER claimcheck_count_emptied AFTER TRUNCATE ON claimcheck_tasks
    FOR EACH STATEMENT EXECUTE FUNCTION claimcheck_count_anew();
-- This row comes from a dump of data only, whose rows the triggers count as well. Without
-- it everything is counted again. A sweep inserts the row without a mark, and in a
-- complete dump triggers are created after the data.
CREATE TRIGGER claimcheck_count_restored BEFORE INSERT ON claimcheck_counting
    FOR EACH ROW WHEN (NEW.mark_at IS NOT NULL)
    EXECUTE FUNCTION claimcheck_count_anew();

-- +goose Down
DROP TRIGGER claimcheck_count_finished ON claimcheck_tasks;
DROP TRIGGER claimcheck_count_inserted ON claimcheck_tasks;
DROP TRIGGER claimcheck_count_deleted ON claimcheck_tasks;
DROP TRIGGER claimcheck_count_emptied ON claimcheck_tasks;
DROP TRIGGER claimcheck_count_restored ON claimcheck_counting;
DROP FUNCTION claimcheck_count_row();
DROP FUNCTION claimcheck_count_deleted();
DROP FUNCTION claimcheck_count_anew();
DROP FUNCTION claimcheck_period(timestamptz);
DROP TABLE claimcheck_changes;
DROP TABLE claimcheck_periods;
DROP TABLE claimcheck_totals;
DROP TABLE claimcheck_counting;
