-- +goose Up

-- Sets of tasks, at whose end other tasks are enqueued. Only the last statement cannot be
-- repeated.
CREATE TABLE IF NOT EXISTS claimcheck_groups (
    id           CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name         VARBINARY(200) NOT NULL,
    created_at   BIGINT NOT NULL,
    closed_at    BIGINT COMMENT 'no member is added from then on',
    succeeded_at BIGINT COMMENT 'when all members were found to be SUCCESSFUL',
    failed_at    BIGINT COMMENT 'when one was found to have FAILED or to be CANCELLED',
    on_success   LONGTEXT COMMENT 'what is enqueued then',
    on_failure   LONGTEXT,
    PRIMARY KEY (id),
    INDEX claimcheck_groups_created (created_at, id),
    -- Those that may have something to do have no time.
    INDEX claimcheck_groups_unfinished (succeeded_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row for each member, also when its task is deleted, so that no two ends of tasks
-- change the same row. A transaction that adds some locks the row of the group, shared, and
-- the one that closes the group locks it alone.
CREATE TABLE IF NOT EXISTS claimcheck_group_members (
    group_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    task_id  CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    state    TINYINT NOT NULL COMMENT '0 unfinished, 1 SUCCESSFUL, 2 FAILED, 3 CANCELLED; 4 and 5 are 0 and 1 of one that had FAILED before',
    PRIMARY KEY (group_id, task_id),
    INDEX claimcheck_group_members_state (group_id, state)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

ALTER TABLE claimcheck_tasks
    ADD COLUMN group_id        CHAR(36) CHARACTER SET ascii COLLATE ascii_bin COMMENT 'whose member it is',
    ADD COLUMN completes_group CHAR(36) CHARACTER SET ascii COLLATE ascii_bin COMMENT 'whose end has enqueued it';

-- +goose Down
ALTER TABLE claimcheck_tasks DROP COLUMN group_id, DROP COLUMN completes_group;
DROP TABLE claimcheck_group_members;
DROP TABLE claimcheck_groups;
