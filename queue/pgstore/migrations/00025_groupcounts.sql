-- +goose Up

-- What cannot change any more is not counted at each view.
ALTER TABLE claimcheck_groups
    ADD COLUMN IF NOT EXISTS total     integer, -- members of a closed group; NULL: they are counted
    ADD COLUMN IF NOT EXISTS cancelled integer; -- of these, when all are SUCCESSFUL or CANCELLED; NULL: they are counted

-- +goose Down
ALTER TABLE claimcheck_groups DROP COLUMN total, DROP COLUMN cancelled;
