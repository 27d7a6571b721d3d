package queue_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// runs runs one task, and checks how it ended.
func (l *ledger) runs(outcome queue.Outcome, status queue.Status, notes int) *queue.Run {
	l.t.Helper()
	run := l.run(l.enqueue("t", nil))
	if run.Outcome != outcome || run.Row.Status != status || l.row(run.Row.ID).Status != status {
		l.t.Errorf("the run %s and the row is %s (%v); want %s and %s", run.Outcome, run.Row.Status, run.Err, outcome, status)
	}
	l.notes(notes)
	return run
}

func TestCompleteTxCommitsSuccessWithTheTasksOwnWrites(t *testing.T) {
	var l *ledger
	var f func(ctx context.Context, tx *sql.Tx) (string, error)
	l = newLedger(t, setup{}, queue.NewTask("t", func(ctx context.Context, _ any) (string, error) {
		tx := l.begin()
		defer func() { _ = tx.Rollback() }()
		if err := write(ctx, tx, "paid"); err != nil {
			return "", err
		}
		return f(ctx, tx)
	}))
	boom := errors.New("boom")
	complete := func(ctx context.Context, tx *sql.Tx) error { return queue.CompleteTx(ctx, sqlitestore.Tx(tx), "done") }

	f = func(ctx context.Context, tx *sql.Tx) (string, error) {
		return "not this", errors.Join(complete(ctx, tx), tx.Commit())
	}
	run := l.runs(queue.OutcomeSucceeded, queue.StatusSuccessful, 1)
	if string(run.Row.ReturnValue) != `"done"` || run.Row.FinishedAt.IsZero() {
		t.Errorf("%+v", run.Row)
	}

	f = func(ctx context.Context, tx *sql.Tx) (string, error) {
		return "", errors.Join(complete(ctx, tx), tx.Commit(), boom)
	}
	l.runs(queue.OutcomeSucceeded, queue.StatusSuccessful, 2) // what is committed remains

	f = func(ctx context.Context, tx *sql.Tx) (string, error) {
		if err := errors.Join(complete(ctx, tx), tx.Commit()); err != nil {
			return "", err
		}
		panic("after the commit")
	}
	l.runs(queue.OutcomeSucceeded, queue.StatusSuccessful, 3)

	f = func(ctx context.Context, tx *sql.Tx) (string, error) {
		return "forgotten", errors.Join(complete(ctx, tx), tx.Rollback())
	}
	run = l.runs(queue.OutcomeFailed, queue.StatusReady, 3)
	if got := run.Row.Errors[0].Message; !strings.Contains(got, "was not committed") {
		t.Errorf("error %q", got)
	}

	f = func(ctx context.Context, tx *sql.Tx) (string, error) {
		return "", errors.Join(boom, complete(ctx, tx), tx.Rollback())
	}
	run = l.runs(queue.OutcomeFailed, queue.StatusReady, 3)
	if got := run.Row.Errors[0].Message; got != "boom" {
		t.Errorf("error %q", got)
	}

	f = func(ctx context.Context, tx *sql.Tx) (string, error) {
		return "", queue.CompleteTx(ctx, sqlitestore.Tx(tx), strings.Repeat("x", queue.DefaultMaxBytes))
	}
	run = l.runs(queue.OutcomeFailed, queue.StatusFailed, 3)
	if got := run.Row.Errors[0].Message; !strings.Contains(got, "at most 1048576") {
		t.Errorf("error %q", got)
	}
}

func TestCompleteTxAfterTheClaimIsLost(t *testing.T) {
	var l *ledger
	l = newLedger(t, setup{}, queue.NewTask("t", func(ctx context.Context, _ any) (any, error) {
		info, _ := queue.InfoFrom(ctx)
		if _, _, err := l.client.Cancel(ctx, info.ID); err != nil {
			return nil, err
		}
		tx := l.begin()
		defer func() { _ = tx.Rollback() }()
		if err := write(ctx, tx, "paid"); err != nil {
			return nil, err
		}
		err := queue.CompleteTx(ctx, sqlitestore.Tx(tx), nil)
		if !errors.Is(err, queue.ErrLeaseLost) {
			t.Errorf("CompleteTx: %v", err)
		}
		return nil, err
	}))
	l.runs(queue.OutcomeLost, queue.StatusCancelled, 0)
}

func TestCompleteTxOutsideATask(t *testing.T) {
	l := newLedger(t, setup{})
	tx := l.begin()
	defer func() { _ = tx.Rollback() }()
	if err := queue.CompleteTx(t.Context(), sqlitestore.Tx(tx), nil); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("CompleteTx: %v", err)
	}
}
