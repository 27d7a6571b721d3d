-- +goose Up

-- The least version that may claim while there are gates. A program marks its claim IDs
-- with the version of its rules for claims (queue.NewClaimID): the 15th and 16th digit
-- of their text, 81 or more. Programs from before that make random UUIDs, 40 to 4f, and
-- do not look at gates. A later rule that a program must know replaces this trigger.
--
-- The condition is short because each statement that claims parses it, and AFTER, since a trigger BEFORE would lock every row once more that is updated. It ends
-- the whole statement, so that nothing is claimed.
-- +goose StatementBegin
DO $migration$
BEGIN
    EXECUTE format($create$
CREATE FUNCTION %1$I.claimcheck_refuse_claim() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
    IF NEW.status = 'RUNNING' AND NEW.claim_id IS DISTINCT FROM OLD.claim_id AND EXISTS (SELECT FROM %1$I.claimcheck_gates WHERE paused_at IS NOT NULL OR parked OR running IS NOT NULL OR starts IS NOT NULL) THEN
        RAISE EXCEPTION 'this program is too old to claim tasks: queues of this database are paused or limited, which it does not know'
            USING ERRCODE = 'CC001', HINT = 'Deploy the current version of the program.';
    END IF;
    RETURN NULL;
END
$function$
    $create$, current_schema());
END
$migration$;
-- +goose StatementEnd
CREATE TRIGGER claimcheck_claim_version AFTER UPDATE OF claim_id ON claimcheck_tasks
    FOR EACH ROW WHEN (substr(NEW.claim_id::text, 15, 2) < '81')
    EXECUTE FUNCTION claimcheck_refuse_claim();

-- +goose Down
DROP TRIGGER claimcheck_claim_version ON claimcheck_tasks;
DROP FUNCTION claimcheck_refuse_claim();
