package queuetest

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

var (
	_ queue.Reporter     = (*Store)(nil)
	_ queue.Checkpointer = (*Store)(nil)
)

// HeartbeatReports renews leases, and applies the reports of those that hold.
func (s *Store) HeartbeatReports(ctx context.Context, lease time.Duration, reports map[queue.Claim]queue.Report, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	err = s.with(ctx, "heartbeat", func(now time.Time) error {
		renewed, lost = s.renew(now, lease, claims)
		for _, claim := range renewed {
			report := reports[claim]
			report.Apply(&s.rows[claim.ID].Row)
		}
		return nil
	})
	return renewed, lost, err
}

// ReleaseReport releases a claim whose function was interrupted, and applies a report.
func (s *Store) ReleaseReport(ctx context.Context, claim queue.Claim, report queue.Report) error {
	return s.end(ctx, "release task", claim, func(r *row, now time.Time) {
		report.Apply(&r.Row)
		r.release(now)
	})
}

// Checkpoint returns the checkpoint of a row that is RUNNING under claim.
func (s *Store) Checkpoint(ctx context.Context, claim queue.Claim) (checkpoint json.RawMessage, err error) {
	err = s.with(ctx, "read checkpoint", func(time.Time) error {
		r := s.rows[claim.ID]
		if !r.runsUnder(claim) {
			return queue.ErrLeaseLost
		}
		checkpoint = slices.Clone(r.Checkpoint)
		return nil
	})
	return checkpoint, err
}

// SaveCheckpoint replaces the checkpoint of a row that stays RUNNING under claim.
func (s *Store) SaveCheckpoint(ctx context.Context, claim queue.Claim, checkpoint json.RawMessage, more int) error {
	return s.SaveCheckpointTx(ctx, nil, claim, checkpoint, more)
}

// SaveCheckpointTx is SaveCheckpoint as a part of a transaction.
func (s *Store) SaveCheckpointTx(ctx context.Context, t queue.Tx, claim queue.Claim, checkpoint json.RawMessage, more int) error {
	return s.withOrIn(ctx, "save checkpoint", t, func(time.Time) error {
		r := s.rows[claim.ID]
		if !r.runsUnder(claim) {
			return queue.ErrLeaseLost
		}
		r.progress(checkpoint, more)
		return nil
	})
}

// progress sets the checkpoint, unless it is nil, and allows more attempts.
func (r *row) progress(checkpoint json.RawMessage, more int) {
	if checkpoint != nil {
		r.Checkpoint = slices.Clone(checkpoint)
	}
	r.MaxAttempts = queue.MoreAttempts(r.MaxAttempts, r.Attempts, more)
}
