-- +goose Up

-- The least version that may claim while there are gates. A program marks its claim IDs
-- with the version of its rules for claims (queue.NewClaimID): the 15th and 16th digit
-- of their text, 81 or more. Programs from before that make random UUIDs, 40 to 4f, and
-- do not look at gates. A later rule that a program must know replaces this trigger.
-- +goose StatementBegin
CREATE TRIGGER claimcheck_claim_version BEFORE UPDATE OF claim_id ON claimcheck_tasks
WHEN NEW.status = 'RUNNING' AND NEW.claim_id IS NOT OLD.claim_id AND substr(NEW.claim_id, 15, 2) < '81' AND EXISTS (SELECT 1 FROM claimcheck_gates WHERE paused_at IS NOT NULL OR parked OR running IS NOT NULL OR starts IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'this program is too old to claim tasks: queues of this database are paused or limited, which it does not know');
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER claimcheck_claim_version;
