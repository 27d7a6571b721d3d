package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// nextPeriodQuery returns the period after the one that was checked last, or what
// lies before the first one, and where it ends.
const nextPeriodQuery = `
SELECT this.at, coalesce((SELECT min(p.at) FROM claimcheck_periods AS p WHERE p.at > this.at), $2::timestamptz)
FROM (SELECT coalesce((SELECT min(at) FROM claimcheck_periods WHERE at > $1::timestamptz), '-infinity') AS at) AS this`

// checkPeriodQuery compares a period with its rows, and makes every difference a
// change: rows of it were deleted where no trigger saw it, with a partition or by a
// restore, or a server with a slow clock took over.
const checkPeriodQuery = `
WITH kept AS (
	SELECT status, backend_name, queue_name, task_path, sum(n) AS n FROM (
		SELECT status, backend_name, queue_name, task_path, n FROM claimcheck_periods WHERE at >= $1::timestamptz AND at < $2::timestamptz
		UNION ALL
		SELECT status, backend_name, queue_name, task_path, n FROM claimcheck_changes WHERE at >= $1::timestamptz AND at < $2::timestamptz
	) AS parts GROUP BY 1, 2, 3, 4
), found AS (
	SELECT final.status, backend_name, queue_name, task_path, count(*) AS n ` + finalRows + `) AS rows GROUP BY 1, 2, 3, 4
)
INSERT INTO claimcheck_changes (at, status, backend_name, queue_name, task_path, n)
SELECT $1::timestamptz, status, backend_name, queue_name, task_path, coalesce(found.n, 0) - coalesce(kept.n, 0)
FROM kept FULL JOIN found USING (status, backend_name, queue_name, task_path)
WHERE coalesce(found.n, 0) <> coalesce(kept.n, 0)`

// check compares one counted period with its rows, and the next call another one.
func (c *counting) check(ctx context.Context, tx pgx.Tx) error {
	var from, to pgtype.Timestamptz
	if err := tx.QueryRow(ctx, nextPeriodQuery, c.checked, c.to).Scan(&from, &to); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, checkPeriodQuery, from, to); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE claimcheck_counting SET checked = $1::timestamptz`, from)
	return err
}
