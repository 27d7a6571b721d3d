package queue_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// askedStore notes when a process that has nothing to do asks for something.
type askedStore struct {
	fullStore
	mu    sync.Mutex
	calls []asked
}

type asked struct {
	what string
	at   time.Time
}

func (s *askedStore) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, asked{what, time.Now()})
}

func (s *askedStore) Promote(ctx context.Context, limit int) (queue.PromoteResult, error) {
	s.note("promote")
	return s.fullStore.Promote(ctx, limit)
}

func (s *askedStore) ClaimNext(ctx context.Context, r queue.ClaimNextRequest) ([]*queue.Row, error) {
	s.note("claim")
	return s.fullStore.ClaimNext(ctx, r)
}

func (s *askedStore) Touch(ctx context.Context, name string) error {
	s.note("mark")
	return s.fullStore.Touch(ctx, name)
}

func (s *askedStore) StrandedQueues(ctx context.Context, backend string) ([]queue.StrandedQueue, error) {
	s.note("stranded queues")
	return s.fullStore.StrandedQueues(ctx, backend)
}

// most is the largest number of calls within any minute after a time, and what
// they are.
func (s *askedStore) most(after time.Time) (n int, what map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = slices.DeleteFunc(s.calls, func(c asked) bool { return c.at.Before(after) })
	for i, first := range s.calls {
		end := slices.IndexFunc(s.calls, func(c asked) bool { return c.at.Sub(first.at) >= time.Minute })
		if end < 0 {
			break
		}
		if end-i > n {
			n, what = end-i, map[string]int{}
			for _, c := range s.calls[i:end] {
				what[c.what]++
			}
		}
	}
	return n, what
}

// A process that has nothing to do sends twelve statements a minute at most, the
// sweeper's among them: pull workers and local mode.
func TestIdleProcessesAskTwelveTimesAMinute(t *testing.T) {
	for name, run := range map[string]func(ctx context.Context, sys *system, local *queue.Local){
		"local": func(ctx context.Context, sys *system, local *queue.Local) { local.Run(ctx, sys.exec) },
		"work --continuous": func(ctx context.Context, sys *system, _ *queue.Local) {
			_, _ = sys.exec.Work(ctx, queue.WorkConfig{From: queue.From{Backend: queue.DefaultBackend}, Continuous: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &askedStore{fullStore: newStore(t)}
				s, local := setup{store: store}, queue.NewLocal()
				if name == "local" {
					s.dispatch = local
				}
				sys := newSystem(t, s, queue.NewTask("t", nothing))
				ctx, stop := context.WithCancel(t.Context())
				started := time.Now()
				go run(ctx, sys, local)
				go sys.client.SweepEvery(ctx, 30*time.Second)
				time.Sleep(20 * time.Minute)
				stop()
				synctest.Wait()
				if n, what := store.most(started.Add(time.Second)); n == 0 || n > 12 || what["promote"] < 10 || what["mark"] == 0 {
					t.Errorf("%d statements within a minute: %v", n, what)
				}
			})
		})
	}
}

// The sweeper relies on what the executors beside it look at only while they do:
// alone it asks for everything itself, and one Sweep always does.
func TestSweeperAloneLooksItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &askedStore{fullStore: newStore(t)}
		sys := newSystem(t, setup{store: store, dispatch: &recorder{}}, queue.NewTask("t", nothing))
		if _, err := sys.exec.ProcessOne(t.Context(), queue.From{}); err != nil { // looks
			t.Fatal(err)
		}
		if _, err := sys.client.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if what := countOf(store); what["promote"] != 2 || what["mark"] != 1 || what["stranded queues"] != 1 {
			t.Errorf("one sweep after a look: %v", what)
		}
		time.Sleep(time.Minute) // the look is old
		ctx, stop := context.WithCancel(t.Context())
		go sys.client.SweepEvery(ctx, 30*time.Second)
		time.Sleep(10*time.Minute - time.Second)
		stop()
		synctest.Wait()
		if what := countOf(store); what["promote"] != 2+20 || what["stranded queues"] != 1+20 || what["mark"] < 1+4 {
			t.Errorf("ten minutes alone: %v", what)
		}
	})
}

func countOf(s *askedStore) (what map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what = map[string]int{}
	for _, c := range s.calls {
		what[c.what]++
	}
	return what
}
