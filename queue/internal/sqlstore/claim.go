package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Claim claims one row by its ID, for a delivery.
func (s *Store) Claim(ctx context.Context, id uuid.UUID, req queue.ClaimRequest) (*queue.Row, error) {
	var row *queue.Row
	err := storekit.RetryLocked(ctx, storekit.ClaimPatience, func() (err error) {
		row, err = s.claimByID(ctx, id, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return row, nil
}

func (s *Store) claimByID(ctx context.Context, id uuid.UUID, req queue.ClaimRequest) (row *queue.Row, err error) {
	for range 2 {
		var refusal error // an answer, not a failure: what the row became is kept
		var expired bool
		err = s.transaction(ctx, "claim task", func(ctx context.Context, tx querier) (err error) {
			row, refusal, expired, err = claimLoaded(ctx, tx, id, req)
			return err
		})
		if err != nil || !expired {
			return row, cmp.Or(err, refusal)
		}
		if err := s.reclaimExpired(ctx); err != nil { // they take up a limit
			return row, err
		}
	}
	return row, lockedRefusal(row)
}

// claimLoaded claims a row, or returns why it does not. expired reports that claims take
// up a limit whose leases have expired.
func claimLoaded(ctx context.Context, tx querier, id uuid.UUID, req queue.ClaimRequest) (row *queue.Row, refusal error, expired bool, err error) {
	row, now, closed, err := loadGated(ctx, tx, id)
	locked := errors.Is(err, queue.ErrLocked)
	if err != nil && !locked {
		return row, nil, false, err
	}
	if req.Holds(row) {
		return row, nil, false, nil // an earlier request claimed it
	}
	refusal = queue.WhyNotClaimed(row, req, now)
	isPaused := !locked && closed.isPaused(row.Queue) && storekit.MayBePaused(refusal)
	switch lost, tooLate := errors.Is(refusal, queue.ErrWorkerLost), errors.Is(refusal, queue.ErrExpired); {
	case locked && (refusal == nil || lost || tooLate):
		return row, lockedRefusal(row), false, nil
	case isPaused:
		if refusal, err = parkDelivered(ctx, tx, row, now); refusal == nil {
			refusal = lockedRefusal(row) // it has just been resumed: the claim is repeated
		}
		return row, refusal, false, err
	case refusal == nil:
		holder, err := twin(ctx, tx, row, now)
		if err == nil && holder != nil && holder.Expired(now) {
			holder, err = expireHolder(ctx, tx, holder, now)
		}
		if errors.Is(err, queue.ErrLocked) {
			return row, lockedRefusal(row), false, nil
		}
		if err != nil {
			return row, nil, false, err
		}
		if holder != nil {
			return row, &queue.NotClaimedError{Reason: queue.ErrDuplicate, Row: row, Holder: holder}, false, nil
		}
		if len(closed.limits.Of(storekit.LaneOf(row))) > 0 {
			refusal, expired, err = limitDelivered(ctx, tx, row, req, closed)
			return row, refusal, expired, lockedIfTaken(tx, row, err)
		}
		if err := countReopened(ctx, tx, row); err != nil {
			return row, nil, false, err
		}
		claim(row, now, req.ClaimID, req.Worker, req.Lease)
		return row, nil, false, lockedIfTaken(tx, row, saveClaim(ctx, tx, row, now))
	case lost:
		loseWorker(row, now)
		return row, refusal, false, saveLost(ctx, tx, row, now)
	case tooLate:
		expire(row, now)
	default:
		return row, refusal, false, nil
	}
	return row, refusal, false, lockedIfTaken(tx, row, save(ctx, tx, row, now))
}

// lockedIfTaken makes the error of a row whose key another one has just taken, which the
// next try sees, queue.ErrLocked.
func lockedIfTaken(tx querier, row *queue.Row, err error) error {
	if tx.store.backend.Duplicate(err) {
		return fmt.Errorf("task %s: %w", row.ID, queue.ErrLocked)
	}
	return err
}

// lockedRefusal is the refusal of a claim of a row that another transaction changes.
func lockedRefusal(row *queue.Row) error {
	return &queue.NotClaimedError{Reason: queue.ErrLocked, Row: row, Wait: storekit.LockedRetryAfter}
}

// ClaimNext claims up to req.Limit rows that are READY and due.
func (s *Store) ClaimNext(ctx context.Context, req queue.ClaimNextRequest) ([]*queue.Row, error) {
	if len(req.Tasks) == 0 || req.Limit < 1 {
		return nil, nil
	}
	if req.Fence == uuid.Nil {
		req.Fence = queue.NewClaimID()
	}
	var rows []*queue.Row
	err := s.transaction(ctx, "claim next tasks", func(ctx context.Context, tx querier) error {
		now, closed, err := tx.gated(ctx)
		if err == nil {
			rows, err = claimFirst(ctx, tx, now, req, closed)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// claimFirstRows is how many rows a claim reads at first: how many more it may read
// depends on the size of their arguments, so that rows beyond queue.MaxClaimBytes are
// not read in vain.
const claimFirstRows = 100

// claimFirst claims the first rows that a request asks for, and that no gate keeps from
// it.
func claimFirst(ctx context.Context, tx querier, now time.Time, req queue.ClaimNextRequest, closed gates) (claimed []*queue.Row, err error) {
	query, args := tx.store.dialect.wanted(columns, req, closed, now)
	var read []*queue.Row // as they were
	size := 0
	for n := claimFirstRows; len(read) < req.Limit; n = (queue.MaxClaimBytes-size)/max(1, size/len(read)) + 1 {
		n = min(n, req.Limit-len(read))
		found, err := list(ctx, tx, query, append(args, n)...)
		if err != nil {
			return nil, err
		}
		read = append(read, found...)
		some := slices.Clone(req.Claimable(read)[len(claimed):]) // the others stay as they were
		for i, row := range some {
			size += len(row.Args)
			changed := *row
			claim(&changed, now, queue.PullClaimID(req.Fence, row.ID), req.Worker, req.Lease)
			some[i] = &changed
		}
		if err := inChunks(some, func(some []*queue.Row) error { return saveClaims(ctx, tx, some, now) }); err != nil {
			return nil, err
		}
		claimed = append(claimed, some...)
		if len(found) < n || len(claimed) < len(read) {
			break
		}
	}
	slices.SortFunc(claimed, storekit.ClaimOrder) // rows may have been inserted between two reads
	return claimed, nil
}

// claimed finds the rows that are RUNNING under claim IDs between two. Index:
// claimcheck_tasks_lease.
func (d *Dialect) claimed() string {
	return `SELECT id, claim_id FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_lease") + `
		WHERE status = 'RUNNING' AND lease_expires_at IS NOT NULL AND claim_id BETWEEN ? AND ?`
}

// Claimed returns the claims that hold under a fence.
func (s *Store) Claimed(ctx context.Context, fence uuid.UUID) (claims []queue.Claim, err error) {
	first, last := queue.PullClaimIDs(fence)
	err = s.read(ctx, "find claimed tasks", func(conn querier) error {
		claims = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var claim queue.Claim
			err := scan(&claim.ID, &claim.ClaimID)
			claims = append(claims, claim)
			return err
		}, s.dialect.claimed(), first, last)
	})
	return claims, err
}

// errJustPaused rolls back a claim of rows of a queue that was paused after the transaction
// had read the gates. The transaction is repeated.
var errJustPaused = errors.New("a queue was paused while its tasks were claimed")

// execClaim is a statement that claims n rows, unless one's queue has just been paused: a
// process may be stopped between the statements of a transaction, for any time.
func execClaim(ctx context.Context, tx querier, n int, query string, args ...any) error {
	result, err := tx.ExecContext(ctx, query+tx.store.dialect.stillOpen, args...)
	if err != nil {
		return err
	}
	if claimed, err := result.RowsAffected(); err != nil || int(claimed) < n {
		return cmp.Or(err, errJustPaused)
	}
	return nil
}

// saveClaim is save of a row that has just been claimed.
func saveClaim(ctx context.Context, tx querier, row *queue.Row, now time.Time) error {
	values, err := stateValues(row, now)
	if err != nil {
		return err
	}
	if err := execClaim(ctx, tx, 1, saveQuery, append(values, row.ID)...); err != nil {
		return err
	}
	return saveMember(ctx, tx, row) // it may have been FAILED
}

// saveClaims is saveClaim of rows that were READY.
func saveClaims(ctx context.Context, tx querier, rows []*queue.Row, now time.Time) error {
	if len(rows) == 1 {
		return saveClaim(ctx, tx, rows[0], now)
	}
	var ids, fences, workers []any
	for _, row := range rows {
		names, err := json.Marshal(row.WorkerIDs)
		if err != nil {
			return err
		}
		ids = append(ids, row.ID)
		fences = append(fences, row.ID, row.ClaimID)
		workers = append(workers, row.ID, string(names))
	}
	set := `status = ?, hold = ?, attempts = attempts + 1, claim_id = ` + byRow(len(rows)) + `, lease_expires_at = ?, worker_ids = ` + byRow(len(rows)) + `,
		started_at = coalesce(started_at, ?), last_attempted_at = ?, retry_at = NULL, dispatch_error = NULL, dispatch_tries = 0`
	return execClaim(ctx, tx, len(ids), tx.store.dialect.updateQuery(set, len(ids)), slices.Concat([]any{queue.StatusRunning, holdNone}, fences,
		[]any{micros(rows[0].LeaseExpiresAt)}, workers, []any{micros(now), micros(now)}, ids)...)
}

// wanted selects the first rows that a request asks for, and that no gate keeps from it;
// their number is one more parameter.
func (d *Dialect) wanted(what string, req queue.ClaimNextRequest, closed gates, now time.Time) (string, []any) {
	// Index: claimcheck_tasks_claim, from its start and in its order.
	query := `SELECT ` + what + ` FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_claim") + `
		WHERE ` + d.free + ` AND attempts < max_attempts AND (expires_at IS NULL OR expires_at > ? OR started_at IS NOT NULL)`
	args := []any{micros(now)}
	oneOf := func(column string, names ...string) {
		query += ` AND ` + column + ` IN (` + marks(len(names)) + `)`
		for _, name := range names {
			args = append(args, name)
		}
	}
	oneOf("task_path", req.Tasks...)
	keys, known := hasKey(req.Keys)
	query, args = query+keys, append(args, known...)
	if len(req.Queues) > 0 {
		oneOf("queue_name", req.Queues...)
	}
	if req.Backend != "" {
		oneOf("backend_name", req.Backend)
	}
	condition, more := closed.without()
	return query + condition + ` ORDER BY ` + d.freeOrder + ` LIMIT ?`, append(args, more...)
}

// claim gives row to a worker under a new claim, which is its fence.
func claim(row *queue.Row, now time.Time, claimID uuid.UUID, worker string, lease time.Duration) {
	if row.Status == queue.StatusFailed { // an operator retries it
		row.Interruptions, row.DeleteAt = 0, time.Time{}
	}
	row.Status = queue.StatusRunning
	row.Attempts++
	row.MaxAttempts = max(row.MaxAttempts, row.Attempts) // lower only for a FAILED row that is retried
	row.ClaimID = claimID
	row.LeaseExpiresAt = now.Add(lease).Truncate(time.Microsecond)
	row.WorkerIDs = append(row.WorkerIDs, worker)
	if row.StartedAt.IsZero() {
		row.StartedAt = now
	}
	row.LastAttemptedAt = now
	row.FinishedAt = time.Time{}
	row.RetryAt = time.Time{}
	row.DispatchError, row.DispatchTries = "", 0
}
