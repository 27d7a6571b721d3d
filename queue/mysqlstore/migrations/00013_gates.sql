-- +goose Up

-- What keeps rows from being claimed: queues that are paused, and limits. A queue that
-- is neither paused nor limited usually has no row here.
CREATE TABLE IF NOT EXISTS claimcheck_gates (
    kind         VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'queue; name: the rows whose task or limit key is name; each: each limit key of the task name apart',
    name         VARCHAR(255) NOT NULL,
    paused_at    BIGINT                 COMMENT 'NULL: not paused',
    paused_by    VARCHAR(255),
    pause_reason TEXT,
    parked       BOOLEAN      NOT NULL DEFAULT 0 COMMENT 'rows with hold 2 may be there: while paused, and until all of them are claimable again',
    running      INT                    COMMENT 'at most so many run at once',
    starts       INT                    COMMENT 'at most so many start within per_us',
    per_us       BIGINT,
    origin       VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'operator' COMMENT 'who set the limits: code or operator',
    PRIMARY KEY (kind, name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE claimcheck_gates;
