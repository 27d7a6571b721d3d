-- +goose Up

-- Every statement that changes a row parses the conditions of its triggers. A claim
-- changes the status, and not finished_at, of rows that have not finished, so that
-- without status in this list it has only the trigger of the version. What changes the
-- status of a finished row without its finished_at is counted when a sweep compares that
-- period.
DROP TRIGGER claimcheck_count_finished ON claimcheck_tasks;
CREATE TRIGGER claimcheck_count_finished AFTER UPDATE OF finished_at, backend_name, queue_name, task_path ON claimcheck_tasks
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL OR NEW.finished_at < clock_timestamp() - interval '5 seconds')
    EXECUTE FUNCTION claimcheck_count_row();

-- +goose Down
DROP TRIGGER claimcheck_count_finished ON claimcheck_tasks;
CREATE TRIGGER claimcheck_count_finished AFTER UPDATE OF status, finished_at, backend_name, queue_name, task_path ON claimcheck_tasks
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL OR NEW.finished_at < clock_timestamp() - interval '5 seconds')
    EXECUTE FUNCTION claimcheck_count_row();
