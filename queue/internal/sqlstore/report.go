package sqlstore

import (
	"context"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

var _ queue.Reporter = (*Store)(nil)

// assignment sets a column, for a save that changes more than the state of a row.
type assignment struct {
	column string
	value  any
}

// assigned is what follows the other assignments of an UPDATE, and its parameters.
func assigned(more []assignment) (set string, values []any) {
	for _, a := range more {
		set, values = set+`, `+a.column+` = ?`, append(values, a.value)
	}
	return set, values
}

// reported is what a report sets; nil is nothing.
func reported(r *queue.Report) (set []assignment) {
	if r == nil {
		return nil
	}
	if p := r.Progress; p != nil {
		set = append(set, assignment{"progress_done", p.Done}, assignment{"progress_total", p.Total})
	}
	if r.Note != nil {
		set = append(set, assignment{"note", nonZero(*r.Note)})
	}
	return set
}

// HeartbeatReports is Heartbeat, and applies the reports of the claims that it renews.
func (s *Store) HeartbeatReports(ctx context.Context, lease time.Duration, reports map[queue.Claim]queue.Report, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	return s.heartbeat(ctx, lease, claims, reports)
}

// renewal is what Heartbeat sets in rows, with the reports of some of them.
func renewal(until time.Time, claims []queue.Claim, reports map[queue.Claim]queue.Report) (set string, values []any) {
	set, values = setRenewed, []any{micros(until)}
	pairs := make(map[string][]any) // for each column, IDs and values
	for _, claim := range claims {
		report := reports[claim]
		for _, a := range reported(&report) {
			pairs[a.column] = append(pairs[a.column], claim.ID, a.value)
		}
	}
	for _, column := range []string{"progress_done", "progress_total", "note"} {
		if n := len(pairs[column]) / 2; n > 0 {
			set += `, ` + column + ` = ` + strings.TrimSuffix(byRow(n), ` END`) + ` ELSE ` + column + ` END`
			values = append(values, pairs[column]...)
		}
	}
	return set, values
}

// ReleaseReport is Release, and applies a report.
func (s *Store) ReleaseReport(ctx context.Context, claim queue.Claim, report queue.Report) error {
	return s.release(ctx, claim, reported(&report)...)
}

// end is underClaim in a transaction of its own.
func (s *Store) end(ctx context.Context, op string, claim queue.Claim, change func(*queue.Row, time.Time), done func(queue.Status) bool, more ...assignment) error {
	return storekit.RetryLocked(ctx, storekit.FinishPatience, func() error {
		return s.urgently(ctx, op, func(ctx context.Context, tx querier) error {
			_, err := underClaim(ctx, tx, claim, change, done, more...)
			return err
		})
	})
}
