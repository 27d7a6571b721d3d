package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

func TestATaskContinuesFromItsCheckpoint(t *testing.T) {
	dispatched := &recorder{}
	s := newStepped(t, setup{dispatch: dispatched}, queue.MaxAttempts(2))
	id := s.enqueue("t", nil)
	read := 0
	work := func(ctx context.Context) (any, error) {
		from, ok, err := queue.Checkpoint[int](ctx)
		if err != nil || ok != (read > 0) || from != read {
			t.Errorf("checkpoint %d, %t, %v; want %d", from, ok, err, read)
		}
		if _, err := queue.Step(ctx, "open", func(context.Context) (int, error) {
			if read > 0 {
				t.Error("the step is repeated")
			}
			return 1, nil
		}); err != nil {
			return nil, err
		}
		if read = from + 10; read < 50 {
			queue.Progress(ctx, read, 50)
			return "ignored", queue.Continue(read)
		}
		return read, nil
	}
	for i := 1; i <= 4; i++ {
		run := s.try(id, work)
		row := s.row(id)
		if run.Outcome != queue.OutcomeRescheduled || run.DispatchErr != nil || row.Status != queue.StatusReady || row.Attempts != i || row.MaxAttempts != max(3, i+2) || len(row.Errors) > 0 || row.ReturnValue != nil {
			t.Fatalf("piece %d: %s, %+v", i, run.Outcome, row)
		}
		shows(t, row, 10*i, 50, "")
		if steps, data := s.checkpoint(id); len(steps) != 1 || data != fmt.Sprint(10*i) {
			t.Errorf("piece %d: steps %v, data %s", i, steps, data)
		}
		if tickets := dispatched.sent(); len(tickets) != i+1 || tickets[i].ID != id || tickets[i].DueAt.After(time.Now()) {
			t.Errorf("piece %d: tickets %v", i, tickets)
		}
	}
	run := s.try(id, work)
	if row := s.row(id); run.Outcome != queue.OutcomeSucceeded || string(row.ReturnValue) != "50" || row.Checkpoint != nil || row.Attempts != 5 {
		t.Errorf("%s, %+v", run.Outcome, row)
	}
	if log := s.log.String(); strings.Count(log, `level=INFO msg="task continues in another attempt"`) != 4 {
		t.Error(log)
	}
}

func TestACheckpointSurvivesAFailure(t *testing.T) {
	s := newStepped(t, setup{}, queue.MaxAttempts(5))
	id := s.enqueue("t", nil)
	s.try(id, func(ctx context.Context) (any, error) {
		for i := range 3 {
			if err := queue.SaveCheckpoint(ctx, i); err != nil {
				return nil, err
			}
		}
		return nil, errBoom
	})
	if row := s.row(id); row.MaxAttempts != 5 { // a checkpoint alone allows no more attempts
		t.Errorf("max_attempts %d", row.MaxAttempts)
	}
	s.try(id, func(ctx context.Context) (any, error) {
		if at, ok, err := queue.Checkpoint[int](ctx); at != 2 || !ok || err != nil {
			t.Errorf("checkpoint %d, %t, %v", at, ok, err)
		}
		if err := queue.SaveCheckpoint(ctx, 3); err != nil {
			return nil, err
		}
		if at, ok, err := queue.Checkpoint[int](ctx); at != 3 || !ok || err != nil {
			t.Errorf("after it was saved: %d, %t, %v", at, ok, err)
		}
		return nil, queue.Continue(nil)
	})
	if _, data := s.checkpoint(id); data != "3" {
		t.Errorf("Continue(nil) left %s", data)
	}
	run := s.try(id, func(ctx context.Context) (any, error) {
		_, _, err := queue.Checkpoint[[]string](ctx)
		return nil, err
	})
	for _, want := range []string{"attempt 2 saved", "[]string", "cannot use a JSON number"} {
		if run.Err == nil || !strings.Contains(run.Err.Error(), want) {
			t.Errorf("%v; want %s", run.Err, want)
		}
	}
}

func TestAnInterruptedTaskMayContinue(t *testing.T) {
	for name, interrupt := range map[string]func(*stepped){
		"shutdown": func(s *stepped) { go s.shutdown() },
		"timeout":  func(*stepped) {},
	} {
		s := newStepped(t, setup{}, queue.Timeout(50*time.Millisecond))
		if name == "shutdown" {
			s = newStepped(t, setup{})
		}
		id := s.enqueue("t", nil)
		run := s.try(id, func(ctx context.Context) (any, error) {
			interrupt(s)
			<-ctx.Done()
			return nil, queue.Continue("here")
		})
		row := s.row(id)
		if _, data := s.checkpoint(id); run.Outcome != queue.OutcomeRescheduled || row.Status != queue.StatusReady || row.Attempts != 1 || row.Interruptions != 0 || len(row.Errors) > 0 || data != `"here"` {
			t.Errorf("%s: %s, %v, %+v", name, run.Outcome, run.Err, row)
		}
	}
}

func TestAContinuationThatIsNotDispatchedIsReported(t *testing.T) {
	dispatched := &recorder{}
	s := newStepped(t, setup{dispatch: dispatched})
	id := s.enqueue("t", nil)
	dispatched.err = errors.New("no permission")
	run := s.try(id, func(context.Context) (any, error) { return nil, queue.Continue(1) })
	if run.Outcome != queue.OutcomeRescheduled || run.DispatchErr == nil || s.row(id).DispatchError == "" {
		t.Errorf("%s, %v", run.Outcome, run.DispatchErr)
	}
}

func TestContinuingEndsAtTheLimit(t *testing.T) {
	s := newStepped(t, setup{}, queue.MaxAttempts(queue.MaxAttemptsLimit))
	id := s.enqueue("t", nil)
	s.attempt = func(ctx context.Context) (any, error) {
		at, _, err := queue.Checkpoint[int](ctx)
		return nil, errors.Join(err, queue.Continue(at+1))
	}
	for i := 1; i < queue.MaxAttemptsLimit; i++ {
		if run := s.run(id); run.Outcome != queue.OutcomeRescheduled || run.Row.MaxAttempts != queue.MaxAttemptsLimit {
			t.Fatalf("attempt %d: %s, %+v", i, run.Outcome, run.Row)
		}
	}
	run := s.run(id)
	if row := s.row(id); row.Status != queue.StatusFailed || row.Attempts != 1000 || run.Outcome != queue.OutcomeFailed || !strings.Contains(row.Errors[0].Message, "at most 1000; retry it to continue") {
		t.Errorf("%s, %+v", run.Outcome, row)
	}
	if _, data := s.checkpoint(id); data != "1000" {
		t.Errorf("a FAILED task has the checkpoint %s", data)
	}
	s.attempt = func(ctx context.Context) (any, error) {
		at, _, err := queue.Checkpoint[int](ctx)
		return at, err
	}
	retried, err := s.exec.RunByID(t.Context(), id, queue.RunOptions{AllowRetry: true})
	if err != nil || string(retried.Row.ReturnValue) != "1000" || retried.Row.Attempts != 1001 {
		t.Errorf("%v, %+v", err, retried)
	}
}

// Work that takes longer than the timeout of a task ends in a Local.
func TestLocalContinuesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pieces = 40
		local := queue.NewLocal()
		sys := newSystem(t, setup{dispatch: local}, queue.NewTask("t", func(ctx context.Context, _ any) (int, error) {
			at, _, err := queue.Checkpoint[int](ctx)
			if err != nil {
				return 0, err
			}
			for deadline, _ := ctx.Deadline(); time.Until(deadline) > 10*time.Second; at++ {
				if at == pieces {
					return at, nil
				}
				time.Sleep(10 * time.Second)
			}
			return 0, queue.Continue(at)
		}, queue.Timeout(time.Minute), queue.MaxAttempts(1)))
		sys.startLocal(local)
		began := time.Now()
		row, err := sys.client.Wait(t.Context(), sys.enqueue("t", nil))
		if err != nil || string(row.ReturnValue) != fmt.Sprint(pieces) || row.Attempts != 9 {
			t.Errorf("%v, %+v", err, row)
		}
		if took := time.Since(began); took > 10*pieces*time.Second+20*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestStepsAndCompleteTx(t *testing.T) {
	var l *ledger
	l = newLedger(t, setup{}, queue.NewTask("t", func(ctx context.Context, _ any) (any, error) {
		if _, err := queue.Step(ctx, "a", func(context.Context) (int, error) { return 1, nil }); err != nil {
			return nil, err
		}
		tx := l.begin()
		if err := errors.Join(queue.CompleteTx(ctx, sqlitestore.Tx(tx), "done")); err != nil {
			return nil, err
		}
		if _, err := queue.Step(ctx, "b", func(context.Context) (int, error) { panic("it was called") }); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("a step after CompleteTx: %v", err)
		}
		return nil, tx.Commit()
	}))
	if run := l.runs(queue.OutcomeSucceeded, queue.StatusSuccessful, 0); run.Row.Checkpoint != nil {
		t.Errorf("checkpoint %s", run.Row.Checkpoint)
	}
}

func TestPulledTasksDropTheirCheckpoints(t *testing.T) {
	s := newStepped(t, setup{})
	s.attempt = func(ctx context.Context) (any, error) {
		info, _ := queue.InfoFrom(ctx)
		if info.Attempt == 1 {
			return nil, queue.Continue("once")
		}
		return 1, nil // it does not read its checkpoint
	}
	for range 20 {
		s.enqueue("t", nil)
	}
	result, err := s.exec.Work(t.Context(), queue.WorkConfig{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.operator().List(t.Context(), queue.ListRequest{Limit: 100})
	if err != nil || len(rows.Rows) != 20 {
		t.Fatalf("%+v, %d rows, %v", result, len(rows.Rows), err)
	}
	for _, listed := range rows.Rows {
		if row := s.row(listed.ID); row.Status != queue.StatusSuccessful || row.Checkpoint != nil || row.Attempts != 2 {
			t.Errorf("%s, %s, attempts %d", row.Status, row.Checkpoint, row.Attempts)
		}
	}
}

// What Continue and Snooze do not record must not vanish.
func TestAnErrorBesideContinueOrSnoozeIsLogged(t *testing.T) {
	for name, asked := range map[string]error{"Continue": queue.Continue(1), "Snooze": queue.Snooze(0)} {
		s := newStepped(t, setup{})
		id := s.enqueue("t", nil)
		s.try(id, func(context.Context) (any, error) { return nil, fmt.Errorf("piece 1: %w", asked) })
		if log := s.log.String(); strings.Contains(log, "level=WARN") {
			t.Errorf("%s alone: %s", name, log)
		}
		s.try(id, func(context.Context) (any, error) { return nil, fmt.Errorf("piece 2: %w", errors.Join(errBoom, asked)) })
		log := s.log.String()
		if !strings.Contains(log, "level=WARN") || !strings.Contains(log, "the error that it returned with "+name+" is stored nowhere") || !strings.Contains(log, errBoom.Error()) {
			t.Errorf("%s: %s", name, log)
		}
		if row := s.row(id); row.Status != queue.StatusReady || len(row.Errors) != 0 {
			t.Errorf("%s: %s, errors %v", name, row.Status, row.Errors)
		}
	}
}
