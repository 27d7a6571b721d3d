package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.Checkpointer = (*Store)(nil)

// dropCheckpoint follows the assignments of an UPDATE that ends a row for which there is
// no other attempt.
const dropCheckpoint = `, checkpoint = NULL`

// endsForGood reports whether no attempt can follow a status: a FAILED task can be retried.
func endsForGood(status queue.Status) bool { return status.Final() && status != queue.StatusFailed }

// saved is what a checkpoint sets; nil is nothing.
func saved(checkpoint json.RawMessage) []assignment {
	if checkpoint == nil {
		return nil
	}
	return []assignment{{"checkpoint", string(checkpoint)}}
}

// Index: the primary key.
const (
	checkpointQuery = `SELECT checkpoint FROM claimcheck_tasks WHERE id = ? AND status = 'RUNNING' AND claim_id = ?`
	getQuery        = `SELECT checkpoint, ` + columns + ` FROM claimcheck_tasks WHERE id = ?`
)

// get reads one row with its checkpoint, and does not lock it.
func get(ctx context.Context, q querier, id uuid.UUID) (*queue.Row, error) {
	var checkpoint sql.NullString
	row, err := scanRow(func(dest ...any) error {
		return q.QueryRowContext(ctx, getQuery, id).Scan(append([]any{&checkpoint}, dest...)...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, queue.ErrNotFound
	}
	if err == nil && checkpoint.Valid {
		row.Checkpoint = document(row, "checkpoint", checkpoint.String)
	}
	return row, err
}

// Checkpoint returns the checkpoint of a row that is RUNNING under claim.
func (s *Store) Checkpoint(ctx context.Context, claim queue.Claim) (checkpoint json.RawMessage, err error) {
	err = s.read(ctx, "read checkpoint", func(conn querier) error {
		var text sql.NullString
		err := conn.QueryRowContext(ctx, checkpointQuery, claim.ID, claim.ClaimID).Scan(&text)
		if errors.Is(err, sql.ErrNoRows) {
			return queue.ErrLeaseLost
		}
		if checkpoint = nil; text.Valid {
			checkpoint = json.RawMessage(text.String)
		}
		return err
	})
	return checkpoint, err
}

// SaveCheckpoint replaces the checkpoint of a row that stays RUNNING under claim.
func (s *Store) SaveCheckpoint(ctx context.Context, claim queue.Claim, checkpoint json.RawMessage, more int) error {
	return s.end(ctx, "save checkpoint", claim, allow(more), never, saved(checkpoint)...)
}

// SaveCheckpointTx is SaveCheckpoint as a part of tx.
func (s *Store) SaveCheckpointTx(ctx context.Context, tx queue.Tx, claim queue.Claim, checkpoint json.RawMessage, more int) error {
	return s.in(ctx, "save checkpoint", tx, func(ctx context.Context, q querier) error {
		_, err := underClaim(ctx, q, claim, allow(more), never, saved(checkpoint)...)
		return err
	})
}

// allow is the change of a row that allows more attempts.
func allow(more int) func(*queue.Row, time.Time) {
	return func(row *queue.Row, _ time.Time) {
		row.MaxAttempts = queue.MoreAttempts(row.MaxAttempts, row.Attempts, more)
	}
}

func never(queue.Status) bool { return false }
