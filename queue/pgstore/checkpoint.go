package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

var _ queue.Checkpointer = (*Store)(nil)

// setCheckpoint sets a checkpoint, unless it is NULL, and max_attempts as
// queue.MoreAttempts; both values are SQL.
func setCheckpoint(value, more string) string {
	return fmt.Sprintf(`checkpoint = coalesce(%s::json, checkpoint),
	max_attempts = CASE WHEN %[2]s > 0 THEN greatest(max_attempts, least(attempts + %[2]s, %[3]d)) ELSE max_attempts END`, value, more, queue.MaxAttemptsLimit)
}

// Index of all: the primary key.
var (
	checkpointQuery     = `SELECT checkpoint FROM claimcheck_tasks` + underClaim
	saveCheckpointQuery = savingCheckpoint + underFreeClaim
	saveCheckpointTx    = savingCheckpoint + underClaim
	savingCheckpoint    = `
UPDATE claimcheck_tasks SET ` + setCheckpoint(`$3::text`, `$4::int8`)
)

// Checkpoint returns the checkpoint of a row that is RUNNING under claim.
func (s *Store) Checkpoint(ctx context.Context, claim queue.Claim) (checkpoint json.RawMessage, err error) {
	err = s.with(ctx, "read checkpoint", use{urgent: true}, func(conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, checkpointQuery, uuidValue(claim.ID), uuidValue(claim.ClaimID)).Scan((*[]byte)(&checkpoint))
		if errors.Is(err, pgx.ErrNoRows) {
			return queue.ErrLeaseLost
		}
		return err
	})
	return checkpoint, err
}

// SaveCheckpoint replaces the checkpoint of a row that stays RUNNING under claim.
func (s *Store) SaveCheckpoint(ctx context.Context, claim queue.Claim, checkpoint json.RawMessage, more int) error {
	return s.changeClaimed(ctx, "save checkpoint", claim, func(queue.Status) bool { return false }, saveCheckpointQuery, jsonValue(checkpoint), more)
}

// SaveCheckpointTx is SaveCheckpoint as a part of tx.
func (s *Store) SaveCheckpointTx(ctx context.Context, tx queue.Tx, claim queue.Claim, checkpoint json.RawMessage, more int) error {
	return s.in(ctx, "save checkpoint", tx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, saveCheckpointTx, uuidValue(claim.ID), uuidValue(claim.ClaimID), jsonValue(checkpoint), more)
		if err == nil && tag.RowsAffected() == 0 {
			err = queue.ErrLeaseLost
		}
		return err
	})
}
