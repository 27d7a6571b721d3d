package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// counting counts the heartbeats with and without reports.
type counting struct {
	*sqlitestore.Store
	plain, reports atomic.Int64
	fails          atomic.Bool // the next heartbeat with reports
}

func (c *counting) Heartbeat(ctx context.Context, lease time.Duration, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	c.plain.Add(1)
	return c.Store.Heartbeat(ctx, lease, claims...)
}

func (c *counting) HeartbeatReports(ctx context.Context, lease time.Duration, reports map[queue.Claim]queue.Report, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	if c.fails.CompareAndSwap(true, false) {
		return nil, nil, fmt.Errorf("%w: once", queue.ErrUnavailable)
	}
	c.reports.Add(1)
	return c.Store.HeartbeatReports(ctx, lease, reports, claims...)
}

// shows checks what a row shows of the reports.
func shows(t *testing.T, row *queue.Row, done, total int, note string) {
	t.Helper()
	if row.Progress == nil || *row.Progress != (queue.TaskProgress{Done: done, Total: total}) || row.Note != note {
		t.Errorf("progress %v, note %q; want %d of %d, %q", row.Progress, row.Note, done, total, note)
	}
}

func TestHeartbeatsCarryProgressAndNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{Store: newStore(t)}
		store.fails.Store(true)
		const beat = queue.DefaultLease / 3
		var sys *system
		sys = newSystem(t, setup{store: store}, task(func(ctx context.Context) (any, error) {
			info, _ := queue.InfoFrom(ctx)
			for i := range 1000 {
				queue.Progress(ctx, i, 2000)
				queue.Note(ctx, fmt.Sprint("page ", i))
			}
			if row := sys.row(info.ID); row.Progress != nil || row.Note != "" {
				t.Errorf("stored before the heartbeat: %v, %q", row.Progress, row.Note)
			}
			time.Sleep(beat + time.Second) // this heartbeat fails
			queue.Progress(ctx, 1000, 2000)
			time.Sleep(beat)
			shows(t, sys.row(info.ID), 1000, 2000, "page 999")
			queue.Progress(ctx, 1000, 2000) // unchanged
			time.Sleep(beat)
			if plain, reports := store.plain.Load(), store.reports.Load(); plain != 1 || reports != 1 {
				t.Errorf("%d heartbeats with reports, %d without", reports, plain)
			}
			queue.Progress(ctx, 2000, 2000)
			return "done", nil
		}))
		run := sys.run(sys.enqueue("t", nil))
		shows(t, run.Row, 2000, 2000, "page 999")
		shows(t, sys.row(run.Row.ID), 2000, 2000, "page 999")
	})
}

func TestEachEndOfAnAttemptStoresProgressAndNotes(t *testing.T) {
	boom := errors.New("boom")
	for name, end := range map[string]func(context.Context) error{
		"success":    func(context.Context) error { return nil },
		"failure":    func(context.Context) error { return boom },
		"discard":    func(context.Context) error { return queue.Discard(boom) },
		"cancel":     func(context.Context) error { return queue.Cancel(boom) },
		"snooze":     func(context.Context) error { return queue.Snooze(time.Hour) },
		"its time":   func(context.Context) error { return queue.RetryAt(time.Now().Add(time.Hour), boom) },
		"panic":      func(context.Context) error { panic("boom") },
		"its result": func(ctx context.Context) error { queue.Note(ctx, "2 of 3"); return boom },
	} {
		sys := newSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
			queue.Progress(ctx, 2, 3)
			queue.Note(ctx, name)
			return 1, end(ctx)
		}))
		run := sys.run(sys.enqueue("t", nil))
		note := run.Row.Note
		if note != name && note != "2 of 3" {
			t.Errorf("%s: note %q", name, note)
		}
		shows(t, run.Row, 2, 3, note)
		shows(t, sys.row(run.Row.ID), 2, 3, note)
	}
}

func TestShutdownStoresProgressAndNotes(t *testing.T) {
	began := make(chan struct{})
	sys := newSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
		queue.Progress(ctx, 1, 2)
		queue.Note(ctx, "half way")
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	id := sys.enqueue("t", nil)
	ended := make(chan *queue.Run)
	go func() { ended <- sys.run(id) }()
	<-began
	sys.shutdown()
	if run := <-ended; run.Outcome != queue.OutcomeInterrupted {
		t.Errorf("%s, %v", run.Outcome, run.Err)
	}
	shows(t, sys.row(id), 1, 2, "half way")
}

func TestARetryStartsWithTheProgressOfTheLastAttempt(t *testing.T) {
	sys := newSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
		switch info, _ := queue.InfoFrom(ctx); info.Attempt {
		case 1:
			queue.Progress(ctx, 7, 10)
			queue.Note(ctx, "first attempt")
			return nil, errors.New("boom")
		case 2:
			return nil, errors.New("boom")
		}
		queue.Progress(ctx, 1, 10)
		queue.Note(ctx, "")
		return nil, nil
	}))
	id := sys.enqueue("t", nil)
	shows(t, sys.run(id).Row, 7, 10, "first attempt")
	shows(t, sys.run(id).Row, 7, 10, "first attempt")
	shows(t, sys.run(id).Row, 1, 10, "")
	shows(t, sys.row(id), 1, 10, "")
}

func TestNotesAreCutAndCleaned(t *testing.T) {
	sys := newSystem(t, setup{}, task(func(ctx context.Context) (any, error) {
		queue.Progress(ctx, -1, -1)
		queue.Note(ctx, "\x00\xff"+strings.Repeat("é", queue.MaxNoteBytes))
		return nil, nil
	}))
	run := sys.run(sys.enqueue("t", nil))
	row := sys.row(run.Row.ID)
	shows(t, row, 0, 0, run.Row.Note)
	if len(row.Note) > queue.MaxNoteBytes || !strings.HasPrefix(row.Note, "\uFFFD\uFFFDé") || !strings.HasSuffix(row.Note, "(cut)") {
		t.Errorf("%d bytes: %.20q", len(row.Note), row.Note)
	}
}

// silentStore is a store that is no queue.Reporter.
type silentStore struct{ queue.Store }

func TestReportsAreIgnoredWithoutAReporterAndOutsideATask(t *testing.T) {
	queue.Progress(t.Context(), 1, 2)
	queue.Note(t.Context(), "nothing")
	sys := newSystem(t, setup{store: silentStore{newStore(t)}}, task(func(ctx context.Context) (any, error) {
		queue.Progress(ctx, 1, 2)
		queue.Note(ctx, "lost")
		return nil, nil
	}))
	run := sys.run(sys.enqueue("t", nil))
	if run.Outcome != queue.OutcomeSucceeded || run.Row.Progress != nil || run.Row.Note != "" {
		t.Errorf("%s, %v, %q", run.Outcome, run.Row.Progress, run.Row.Note)
	}
}

func TestCompleteTxStoresProgressAndNotes(t *testing.T) {
	var l *ledger
	l = newLedger(t, setup{}, queue.NewTask("t", func(ctx context.Context, _ any) (any, error) {
		queue.Progress(ctx, 3, 3)
		queue.Note(ctx, "paid")
		tx := l.begin()
		return nil, errors.Join(queue.CompleteTx(ctx, sqlitestore.Tx(tx), "done"), tx.Commit())
	}))
	run := l.runs(queue.OutcomeSucceeded, queue.StatusSuccessful, 0)
	shows(t, run.Row, 3, 3, "paid")
}
