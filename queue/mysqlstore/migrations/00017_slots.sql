-- +goose Up

-- What claims of limits lock, and what counts their starts: one row for each start
-- within the period.
CREATE TABLE IF NOT EXISTS claimcheck_slots (
    kind      VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name      VARBINARY(255) NOT NULL,
    limit_key VARBINARY(200) NOT NULL,
    n         BIGINT NOT NULL COMMENT '0: what claims of the limit lock; the others count its starts',
    used_at   BIGINT NOT NULL,
    PRIMARY KEY (kind, name, limit_key, n)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE claimcheck_slots;
