-- +goose Up

-- A statement parses the conditions of the triggers on the columns that it sets, even if it
-- does not change them. Programs without a version set max_attempts in each claim, and
-- later ones only where it changes, so that their claims do not pay for this trigger.
DROP TRIGGER claimcheck_claim_version ON claimcheck_tasks;
CREATE TRIGGER claimcheck_claim_version AFTER UPDATE OF max_attempts ON claimcheck_tasks
    FOR EACH ROW WHEN (substr(NEW.claim_id::text, 15, 2) < '81')
    EXECUTE FUNCTION claimcheck_refuse_claim();

-- +goose Down
DROP TRIGGER claimcheck_claim_version ON claimcheck_tasks;
CREATE TRIGGER claimcheck_claim_version AFTER UPDATE OF claim_id ON claimcheck_tasks
    FOR EACH ROW WHEN (substr(NEW.claim_id::text, 15, 2) < '81')
    EXECUTE FUNCTION claimcheck_refuse_claim();
