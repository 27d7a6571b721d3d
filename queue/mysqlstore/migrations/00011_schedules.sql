-- +goose Up

-- Which tasks are enqueued when.
CREATE TABLE IF NOT EXISTS claimcheck_schedules (
    name         VARCHAR(100) NOT NULL PRIMARY KEY,
    task_path    VARCHAR(255) NOT NULL,
    spec         VARCHAR(1000) NOT NULL,
    zone         VARCHAR(100) NOT NULL,
    args         LONGTEXT     NOT NULL,
    queue_name   VARCHAR(255) NOT NULL,
    backend_name VARCHAR(255) NOT NULL,
    priority     SMALLINT     NOT NULL,
    options      TEXT         NOT NULL,
    catch_up     VARCHAR(10)  NOT NULL,
    overlap      VARCHAR(10)  NOT NULL,
    paused_at    BIGINT,
    paused_by    VARCHAR(255) NOT NULL,
    program      VARCHAR(255) NOT NULL COMMENT 'whose code defines it; empty: made at run time',
    definition   VARCHAR(64)  NOT NULL COMMENT 'hash of what the code defines',
    removed_at   BIGINT                COMMENT 'it is in the code no more',
    anchored_at  BIGINT       NOT NULL COMMENT 'where the intervals of @every begin',
    next_at      BIGINT                COMMENT 'of the next occurrence that is to be enqueued; NULL while paused or removed',
    last_at      BIGINT,
    last_task_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
    made         BIGINT       NOT NULL,
    created_at   BIGINT       NOT NULL,
    changed_at   BIGINT       NOT NULL,
    -- What is due, the earliest first: ticks, and the probe of every promotion.
    INDEX claimcheck_schedules_next (next_at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE claimcheck_schedules;
