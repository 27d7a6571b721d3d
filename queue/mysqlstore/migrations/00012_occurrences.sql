-- +goose Up

-- The latest times of each schedule. An occurrence is enqueued once, whatever became of
-- its task since.
CREATE TABLE IF NOT EXISTS claimcheck_occurrences (
    schedule      VARCHAR(100) NOT NULL,
    scheduled_for BIGINT       NOT NULL,
    task_id       CHAR(36) CHARACTER SET ascii COLLATE ascii_bin COMMENT 'NULL: none was enqueued',
    skipped       VARCHAR(20)  COMMENT 'why',
    PRIMARY KEY (schedule, scheduled_for)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE claimcheck_occurrences;
