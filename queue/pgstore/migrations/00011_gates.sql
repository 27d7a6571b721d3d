-- +goose Up

-- What keeps rows from being claimed: queues that are paused, and limits. Claims read
-- the names of the paused queues in the statement that claims. A queue that is neither
-- paused nor limited usually has no row here.
CREATE TABLE claimcheck_gates (
    kind         text        NOT NULL,               -- 'queue'; 'name': the rows whose task or limit key is name; 'each': each limit key of the task name apart
    name         text        NOT NULL,
    paused_at    timestamptz,                        -- NULL: not paused
    paused_by    text,
    pause_reason text,
    parked       boolean     NOT NULL DEFAULT false, -- rows with hold 2 may be there: while paused, and until all of them are claimable again
    running      integer,                            -- at most so many run at once
    starts       integer,                            -- at most so many start within per_us
    per_us       bigint,
    origin       text        NOT NULL DEFAULT 'operator', -- who set the limits: 'code' or 'operator'
    PRIMARY KEY (kind, name)
);
CREATE INDEX claimcheck_gates_paused ON claimcheck_gates (name)
    WHERE kind = 'queue' AND paused_at IS NOT NULL;

-- +goose Down
DROP TABLE claimcheck_gates;
