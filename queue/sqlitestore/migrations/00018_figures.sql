-- +goose Up

-- How tasks have ended, by hour and type; an hour has at most some hundred rows. They outlive
-- the tasks. histograms are those of queue.Outcomes.
CREATE TABLE claimcheck_figures (
    hour         INTEGER NOT NULL,
    task_path    TEXT    NOT NULL, -- empty: of types beyond the limit
    queue_name   TEXT    NOT NULL,
    backend_name TEXT    NOT NULL,
    succeeded    INTEGER NOT NULL,
    failed       INTEGER NOT NULL,
    cancelled    INTEGER NOT NULL,
    retried      INTEGER NOT NULL, -- attempts that did not end a task
    histograms   BLOB    NOT NULL,
    PRIMARY KEY (hour, backend_name, queue_name, task_path)
) STRICT, WITHOUT ROWID;

-- The figures have the rows that finished before counted_to. Whatever deletes or reopens
-- a later one counts it. To count what is still there again, delete all figures and set it
-- to 0, in one transaction.
CREATE TABLE claimcheck_figures_state (
    id         INTEGER NOT NULL PRIMARY KEY,
    counted_to INTEGER NOT NULL
) STRICT;
INSERT INTO claimcheck_figures_state (id, counted_to) VALUES (1, 0);

-- +goose Down
DROP TABLE claimcheck_figures_state;
DROP TABLE claimcheck_figures;
