-- +goose Up

-- Documents of what runs beside the queue, such as notices; each is replaced whole.
CREATE TABLE IF NOT EXISTS claimcheck_state (
    name     VARCHAR(100) NOT NULL PRIMARY KEY,
    version  BIGINT       NOT NULL,
    document MEDIUMTEXT   NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE claimcheck_state;
