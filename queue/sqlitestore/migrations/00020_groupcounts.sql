-- +goose Up

-- What cannot change any more is not counted at each view.
ALTER TABLE claimcheck_groups ADD COLUMN total INTEGER;     -- members of a closed group; NULL: they are counted
ALTER TABLE claimcheck_groups ADD COLUMN cancelled INTEGER; -- of these, when all are SUCCESSFUL or CANCELLED; NULL: they are counted

-- +goose Down
ALTER TABLE claimcheck_groups DROP COLUMN total;
ALTER TABLE claimcheck_groups DROP COLUMN cancelled;
