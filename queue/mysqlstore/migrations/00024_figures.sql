-- +goose Up

-- How tasks have ended, by hour and type; an hour has at most some hundred rows. They outlive
-- the tasks. Each statement can be repeated.
CREATE TABLE IF NOT EXISTS claimcheck_figures (
    hour         BIGINT NOT NULL,
    task_path    VARCHAR(255) NOT NULL COMMENT 'empty: of types beyond the limit',
    queue_name   VARCHAR(255) NOT NULL,
    backend_name VARCHAR(255) NOT NULL,
    succeeded    BIGINT NOT NULL,
    failed       BIGINT NOT NULL,
    cancelled    BIGINT NOT NULL,
    retried      BIGINT NOT NULL COMMENT 'attempts that did not end a task',
    histograms   MEDIUMBLOB NOT NULL COMMENT 'those of queue.Outcomes',
    PRIMARY KEY (hour, backend_name, queue_name, task_path)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The figures have the rows that finished before counted_to. Whatever deletes or reopens
-- a later one counts it. To count what is still there again, delete all figures and set it
-- to 0, in one transaction.
CREATE TABLE IF NOT EXISTS claimcheck_figures_state (
    id         TINYINT NOT NULL PRIMARY KEY,
    counted_to BIGINT  NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO claimcheck_figures_state (id, counted_to) VALUES (1, 0);

-- +goose Down
DROP TABLE claimcheck_figures_state;
DROP TABLE claimcheck_figures;
