-- +goose Up

-- What keeps rows from being claimed: queues that are paused, and limits. A queue that
-- is neither paused nor limited usually has no row here.
CREATE TABLE claimcheck_gates (
    kind         TEXT    NOT NULL,           -- 'queue'; 'name': the rows whose task or limit key is name; 'each': each limit key of the task name apart
    name         TEXT    NOT NULL,
    paused_at    INTEGER,                    -- NULL: not paused
    paused_by    TEXT,
    pause_reason TEXT,
    parked       INTEGER NOT NULL DEFAULT 0, -- rows with hold 2 may be there: while paused, and until all of them are claimable again
    running      INTEGER,                    -- at most so many run at once
    starts       INTEGER,                    -- at most so many start within per_us
    per_us       INTEGER,
    origin       TEXT    NOT NULL DEFAULT 'operator', -- who set the limits: 'code' or 'operator'
    PRIMARY KEY (kind, name)
) STRICT;

-- +goose Down
DROP TABLE claimcheck_gates;
