-- +goose Up

-- One statement, since MySQL cannot undo the first of two. Times are
-- microseconds since 1970, UTC; for people:
--   SELECT TIMESTAMP('1970-01-01') + INTERVAL enqueued_at MICROSECOND …
-- JSON is text: MySQL's JSON rounds long numbers, and MariaDB's refuses what is
-- deeply nested.
CREATE TABLE IF NOT EXISTS claimcheck_tasks (
    id                CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    task_path         VARCHAR(255) NOT NULL,
    queue_name        VARCHAR(255) NOT NULL,
    backend_name      VARCHAR(255) NOT NULL,
    priority          SMALLINT     NOT NULL,
    status            VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    hold              TINYINT      NOT NULL COMMENT 'why a pull claim may not take a READY row now: 0 none, 1 its time has not come',
    args              LONGTEXT     NOT NULL,
    run_after         BIGINT                COMMENT 'hard: nobody runs it before',
    retry_at          BIGINT                COMMENT 'soft: a delivery may; never earlier than run_after',
    dispatch_due_at   BIGINT       NOT NULL COMMENT 'when a READY row should have been claimed',
    dispatch_tries    INT          NOT NULL DEFAULT 0,
    dispatch_error    LONGTEXT,
    enqueued_at       BIGINT       NOT NULL,
    started_at        BIGINT,
    last_attempted_at BIGINT,
    finished_at       BIGINT,
    attempts          INT          NOT NULL DEFAULT 0,
    max_attempts      INT          NOT NULL,
    interruptions     INT          NOT NULL DEFAULT 0,
    timeout_ms        BIGINT,
    claim_id          CHAR(36) CHARACTER SET ascii COLLATE ascii_bin COMMENT 'the fence',
    lease_expires_at  BIGINT                COMMENT 'NULL unless RUNNING',
    worker_ids        LONGTEXT     NOT NULL,
    return_value      LONGTEXT,
    errors            LONGTEXT              COMMENT 'the whole list',

    -- Keys that are NULL for rows that their index is not about, in place of
    -- partial indexes: what does not change there costs no write.
    claim_order    SMALLINT GENERATED ALWAYS AS (CASE WHEN status = 'READY' AND hold = 0 THEN -priority END) STORED,
    held_until     BIGINT   GENERATED ALWAYS AS (CASE WHEN status = 'READY' AND hold = 1 THEN coalesce(retry_at, run_after) END) STORED,
    dispatch_until BIGINT   GENERATED ALWAYS AS (CASE WHEN status = 'READY' THEN dispatch_due_at END) STORED,

    PRIMARY KEY (id),
    -- Pull claims take the first rows of this index.
    INDEX claimcheck_tasks_claim (claim_order, enqueued_at, id),
    -- Rows that wait for their time, the next one first.
    INDEX claimcheck_tasks_held (held_until),
    -- Leases, the first to expire first.
    INDEX claimcheck_tasks_lease (lease_expires_at),
    -- Rows that should have been claimed: the sweeper's.
    INDEX claimcheck_tasks_dispatch (dispatch_until)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
DROP TABLE claimcheck_tasks;
