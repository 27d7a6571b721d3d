package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func (s *system) sweep(limit int, want queue.SweepResult) {
	s.t.Helper()
	got, err := s.client.Sweep(s.t.Context(), limit)
	if err != nil || got != want {
		s.t.Errorf("swept %+v, %v; want %+v", got, err, want)
	}
}

func TestTheHookOfASweepGetsWhatItDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []queue.Swept
		out := &recorder{err: errors.New("quota")}
		sys := newSystem(t, setup{dispatch: out, client: queue.Config{Hooks: queue.Hooks{Swept: func(_ context.Context, s queue.Swept) { got = append(got, s) }}}}, queue.NewTask("t", nothing))
		sys.enqueue("t", nil)
		sys.sweep(0, queue.SweepResult{Errors: 1})
		ctx, cancel := context.WithCancel(t.Context())
		go sys.client.SweepEvery(ctx, time.Hour)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if len(got) != 2 || got[0].Client != sys.client || got[0].Result.Errors != 1 || got[0].Err != nil {
			t.Errorf("%+v", got)
		}
	})
}

func TestARowWhoseTicketWasRefusedIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{err: errors.New("quota")}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		id := sys.enqueue("t", nil, queue.Timeout(time.Minute))
		sys.sweep(0, queue.SweepResult{Errors: 1})
		if n := len(out.sent()); n != 2 {
			t.Errorf("%d tickets", n)
		}
		out.err = nil
		sys.sweep(0, queue.SweepResult{Dispatched: 1})
		last := out.sent()[2]
		if last.ID != id || last.Timeout != time.Minute || !strings.Contains(last.Name, id.String()) {
			t.Errorf("ticket %+v", last)
		}
		sys.sweep(0, queue.SweepResult{})
		sys.run(id)
		time.Sleep(24 * time.Hour)
		sys.sweep(0, queue.SweepResult{})
	})
}

func TestAnUnclaimedRowIsSweptAtGrowingIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		sys.enqueue("t", nil)
		start := time.Now()
		var at []time.Duration
		names := make(map[string]bool)
		for time.Since(start) < 48*time.Hour {
			before := len(out.sent())
			if _, err := sys.client.Sweep(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			for _, ticket := range out.sent()[before:] {
				at = append(at, time.Since(start).Round(time.Minute))
				names[ticket.Name] = true
			}
			time.Sleep(time.Minute)
		}
		want := []time.Duration{5 * time.Minute, 15 * time.Minute, 35 * time.Minute, 75 * time.Minute, 155 * time.Minute, 315 * time.Minute}
		for last := want[5]; last+6*time.Hour < 48*time.Hour; {
			last += min(6*time.Hour, 2*(last-want[4]))
			want = append(want, last)
		}
		if !slices.Equal(at[:6], want[:6]) || len(at) != len(names) || len(at) > 14 {
			t.Errorf("swept at %v under %d names, want %v", at, len(names), want)
		}
	})
}

func TestAFarFutureRowIsArmedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		sys.enqueue("t", nil, queue.Delay(40*24*time.Hour))
		due := time.Now().Add(40 * 24 * time.Hour)
		sys.sweep(0, queue.SweepResult{})
		time.Sleep(15 * 24 * time.Hour)
		sys.sweep(0, queue.SweepResult{Armed: 1})
		if sent := out.sent(); len(sent) != 1 || !sent[0].DueAt.Equal(due) {
			t.Errorf("%+v", sent)
		}
		time.Sleep(25 * 24 * time.Hour)
		sys.sweep(0, queue.SweepResult{}) // its Cloud Task has its grace
	})
}

func TestALostWorkersRowIsReclaimedAndDispatchedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		sys.crash(sys.enqueue("t", nil))
		sys.crash(sys.enqueue("t", nil, queue.MaxAttempts(1)))
		sys.sweep(0, queue.SweepResult{})
		time.Sleep(queue.DefaultLease)
		sys.sweep(0, queue.SweepResult{Reclaimed: 1, Dispatched: 1, Failed: 1})
		if n := len(out.sent()); n != 3 {
			t.Errorf("%d tickets", n)
		}
	})
}

// crash claims a row and says no more.
func (s *system) crash(id uuid.UUID) {
	s.t.Helper()
	_, err := s.store.Claim(s.t.Context(), id, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "gone", Lease: queue.DefaultLease, ClaimID: uuid.New()})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestSweepLeavesPulledBackendsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{dispatch: queue.NewLocal()}, queue.NewTask("t", nothing))
		id := sys.enqueue("t", nil)
		time.Sleep(time.Hour)
		sys.sweep(0, queue.SweepResult{})
		if row := sys.row(id); row.DispatchTries != 0 {
			t.Errorf("%+v", row)
		}
		sys.crash(id)
		time.Sleep(time.Hour)
		sys.sweep(0, queue.SweepResult{Reclaimed: 1})
	})
}

func TestSweepSaysWhatStoppedIt(t *testing.T) {
	sys := newSystem(t, setup{dispatch: &recorder{}}, queue.NewTask("t", nothing))
	if _, err := sys.client.Sweep(t.Context(), -1); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("negative: %v", err)
	}
	broken := newSystem(t, setup{store: noPromotion{sys.store}, dispatch: &recorder{}}, queue.NewTask("t", nothing))
	if _, err := broken.client.Sweep(t.Context(), 0); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("database down: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := sys.client.Sweep(ended, 0); err != nil || got != (queue.SweepResult{}) {
		t.Errorf("no time: %+v, %v", got, err)
	}
}

// noPromotion is a store whose database is down.
type noPromotion struct{ queue.Store }

func (noPromotion) Promote(context.Context, int) (queue.PromoteResult, error) {
	return queue.PromoteResult{}, fmt.Errorf("%w: down", queue.ErrUnavailable)
}

func TestSweepEverySweepsUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{err: errors.New("quota")}
		sys := newSystem(t, setup{dispatch: out}, queue.NewTask("t", nothing))
		sys.enqueue("t", nil)
		ctx, cancel := context.WithCancel(t.Context())
		go sys.client.SweepEvery(ctx, time.Minute)
		time.Sleep(150 * time.Second)
		cancel()
		synctest.Wait()
		time.Sleep(time.Hour)
		if n := len(out.sent()); n != 1+3 {
			t.Errorf("%d tickets", n)
		}
	})
}

// A name stays taken in Cloud Tasks for days after its task is gone.
func TestNoTwoTicketsOfTheSweeperHaveTheSameName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		sys := newSystem(t, setup{dispatch: out}, task(func(context.Context) (any, error) {
			return nil, queue.Snooze(queue.ArmWithin + time.Hour) // the attempt is not counted
		}))
		id := sys.enqueue("t", nil)
		names := make(map[string]bool)
		for range 3 {
			sys.run(id)
			before := len(out.sent())
			time.Sleep(2 * time.Hour)
			sys.sweep(0, queue.SweepResult{Armed: 1})
			names[out.sent()[before].Name] = true
			time.Sleep(queue.ArmWithin)
		}
		if len(names) != 3 {
			t.Errorf("names %v", names)
		}
	})
}

// What the sweeper has counted stays counted when another dispatch is refused.
func TestTheSweeperUsesNoNameAgainAfterAnotherDispatchWasRefused(t *testing.T) {
	key := queue.Unique("k", queue.OnConflict(queue.ReplaceExisting))
	for name, refused := range map[string]func(s *system, id uuid.UUID){
		"of a resume": func(s *system, id uuid.UUID) {
			gate := queue.GateRequest{Queue: "default", Actor: "t"}
			if _, err := s.client.PauseQueue(s.t.Context(), gate, nil); err != nil {
				s.t.Fatal(err)
			}
			if _, err := s.exec.RunByID(s.t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrPaused) { // its name is used up
				s.t.Fatal(err)
			}
			if result := s.resume("default"); result.Undispatched != 1 {
				s.t.Fatalf("%+v", result)
			}
		},
		"of a replacement": func(s *system, _ uuid.UUID) { s.enqueue("t", nil, key) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &flaky{}
				sys := newSystem(t, setup{dispatch: out}, task(func(context.Context) (any, error) { return nil, nil }))
				id := sys.enqueue("t", nil, key)
				time.Sleep(time.Hour)
				sys.sweep(0, queue.SweepResult{Dispatched: 1})
				out.refusing.Store(true)
				refused(sys, id)
				out.refusing.Store(false)
				sys.sweep(0, queue.SweepResult{Dispatched: 1})
				names := make(map[string]int)
				for _, ticket := range out.sent() {
					names[ticket.Name]++
				}
				if len(names) != 3 { // one ticket had none
					t.Errorf("names %v", names)
				}
			})
		})
	}
}

// flaky is a recorder that can refuse.
type flaky struct {
	recorder
	refusing atomic.Bool
}

func (f *flaky) Dispatch(ctx context.Context, tickets ...queue.Ticket) error {
	if f.refusing.Load() {
		return errors.New("quota")
	}
	return f.recorder.Dispatch(ctx, tickets...)
}

// stuck is a store that does not answer the sweeper.
type stuck struct{ queue.Store }

func (stuck) Promote(ctx context.Context, _ int) (queue.PromoteResult, error) {
	<-ctx.Done()
	return queue.PromoteResult{}, fmt.Errorf("promote tasks: %w", ctx.Err())
}

func TestASweepOfADatabaseThatHangsSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{store: stuck{newStore(t)}, dispatch: &recorder{}}, queue.NewTask("t", nothing))
		if _, err := sys.client.Sweep(t.Context(), 0); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := sys.client.Sweep(ctx, 0); err != nil { // the caller's time was over, that is all
			t.Errorf("no time: %v", err)
		}
	})
}
