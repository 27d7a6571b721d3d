-- +goose Up

-- Who did what.
CREATE TABLE IF NOT EXISTS claimcheck_audit (
    id      CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    at      BIGINT       NOT NULL,
    actor   VARCHAR(255) NOT NULL,
    action  VARCHAR(100) NOT NULL,
    task_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
    target  TEXT         NOT NULL,
    done    INT          NOT NULL,
    failed  INT          NOT NULL,
    ended   BOOLEAN      NOT NULL,
    INDEX claimcheck_audit_at (at),
    INDEX claimcheck_audit_task (task_id, at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE claimcheck_audit;
