package pgstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
)

var (
	_ queue.Reporter   = (*Store)(nil)
	_ queue.Overviewer = (*Store)(nil)
)

// setReported applies a queue.Report, whose values are SQL: NULL leaves a column
// unchanged, and an empty note removes the row's.
func setReported(done, total, note string) string {
	return fmt.Sprintf(`progress_done = coalesce(%[1]s, progress_done), progress_total = coalesce(%[2]s, progress_total), note = nullif(coalesce(%[3]s, note), '')`, done, total, note)
}

// reportValues are the values of a report; NULL for what it leaves unchanged.
type reportValues struct {
	done, total pgtype.Int8
	note        pgtype.Text
}

func reportValue(r *queue.Report) (v reportValues) {
	if r == nil {
		return v
	}
	if r.Progress != nil {
		v.done, v.total = pgtype.Int8{Int64: int64(r.Progress.Done), Valid: true}, pgtype.Int8{Int64: int64(r.Progress.Total), Valid: true}
	}
	if r.Note != nil {
		v.note = pgtype.Text{String: *r.Note, Valid: true}
	}
	return v
}

// reportColumns are the values of several reports, one column each. They end with the
// last report: the rest of the columns is NULL.
type reportColumns struct {
	done, total []pgtype.Int8
	note        []pgtype.Text
}

func newReportColumns() reportColumns {
	return reportColumns{[]pgtype.Int8{}, []pgtype.Int8{}, []pgtype.Text{}}
}

// set adds the report number i, counted from 0.
func (c *reportColumns) set(i int, r *queue.Report) {
	missing := i - len(c.done)
	c.done, c.total, c.note = append(c.done, make([]pgtype.Int8, missing)...), append(c.total, make([]pgtype.Int8, missing)...), append(c.note, make([]pgtype.Text, missing)...)
	v := reportValue(r)
	c.done, c.total, c.note = append(c.done, v.done), append(c.total, v.total), append(c.note, v.note)
}

// heartbeatReportsQuery is heartbeatQuery with reports. Index: the primary key.
var heartbeatReportsQuery = `
WITH held AS MATERIALIZED (
	SELECT t.id AS task, c.* FROM unnest($1::uuid[], $2::uuid[], $4::int8[], $5::int8[], $6::text[]) AS c(wanted, fence, done, total, said)
	JOIN claimcheck_tasks t ON t.id = c.wanted AND t.claim_id = c.fence AND ` + isRunning + `
	FOR UPDATE OF t SKIP LOCKED
)
UPDATE claimcheck_tasks SET lease_expires_at = now() + $3::interval, ` + setReported(`held.done`, `held.total`, `held.said`) + `
FROM held WHERE id = held.task
RETURNING id, claim_id`

// HeartbeatReports is [Store.Heartbeat], and applies the reports of the claims that it
// renews.
func (s *Store) HeartbeatReports(ctx context.Context, lease time.Duration, reports map[queue.Claim]queue.Report, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	columns := newReportColumns()
	for i, claim := range claims {
		if report, ok := reports[claim]; ok {
			columns.set(i, &report)
		}
	}
	return s.heartbeat(ctx, claims, func(conn *pgx.Conn, ids, fences []pgtype.UUID) (pgx.Rows, error) {
		return conn.Query(ctx, heartbeatReportsQuery, ids, fences, lease, columns.done, columns.total, columns.note)
	})
}

// ReleaseReport is [Store.Release], and applies a report.
func (s *Store) ReleaseReport(ctx context.Context, claim queue.Claim, report queue.Report) error {
	v := reportValue(&report)
	return s.makeReady(ctx, "release task", claim, releaseReportQuery, v.done, v.total, v.note)
}
