-- +goose Up

-- Documents of what runs beside the queue, such as notices; each is replaced whole.
CREATE TABLE claimcheck_state (
    name     TEXT    NOT NULL PRIMARY KEY,
    version  INTEGER NOT NULL,
    document TEXT    NOT NULL
);

-- +goose Down
DROP TABLE claimcheck_state;
