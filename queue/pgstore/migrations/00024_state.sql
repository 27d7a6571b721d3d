-- +goose Up

-- Documents of what runs beside the queue, such as notices; each is replaced whole.
CREATE TABLE IF NOT EXISTS claimcheck_state (
    name     text   NOT NULL PRIMARY KEY,
    version  bigint NOT NULL,
    document text   NOT NULL
);

-- +goose Down
DROP TABLE claimcheck_state;
