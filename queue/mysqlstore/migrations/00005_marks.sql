-- +goose Up

-- When something last happened, such as a sweep.
CREATE TABLE IF NOT EXISTS claimcheck_marks (
    name VARCHAR(100) NOT NULL PRIMARY KEY,
    at   BIGINT       NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE claimcheck_marks;
