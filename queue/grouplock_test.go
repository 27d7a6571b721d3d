package queue_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// lockable is a store whose groups another transaction has locked, until unlock. A look
// that does not meet the lock calls looked, if it is set.
type lockable struct {
	*sqlitestore.Store
	mu     sync.Mutex
	locked bool
	looks  int
	looked func()
}

func (s *lockable) CompleteGroup(ctx context.Context, id uuid.UUID, prepare func(*queue.NewRow)) ([]*queue.NewRow, error) {
	s.mu.Lock()
	s.looks++
	locked, looked := s.locked, s.looked
	s.mu.Unlock()
	if locked {
		return nil, fmt.Errorf("group %s: %w", id, queue.ErrLocked)
	}
	rows, err := s.Store.CompleteGroup(ctx, id, prepare)
	if looked != nil {
		looked()
	}
	return rows, err
}

func (s *lockable) set(locked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked = locked
}

func (s *lockable) took() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

const (
	waitsForLock = "the end of a group waits for another transaction"
	afterLock    = "the end of a group was handled, which another transaction had locked"
)

// lockedSystem is a system with two slots, two members of a group that is locked, and two
// tasks of no group behind them.
func lockedSystem(t *testing.T, d queue.Dispatcher, finished func(*grouped, *queue.Run)) (*grouped, *lockable, *queue.Group, []uuid.UUID) {
	store := &lockable{Store: newStore(t)}
	var g *grouped // is set before anything runs
	g = newGrouped(t, setup{store: store, dispatch: d, exec: queue.ExecutorConfig{Concurrency: 2}, client: queue.Config{Hooks: queue.Hooks{
		Finished: func(_ context.Context, run *queue.Run) { finished(g, run) },
	}}})
	group, ids := g.create("x", "y")
	store.set(true)
	return g, store, group, append(ids, g.enqueue("member", "of none", queue.Priority(-1)), g.enqueue("member", "of none", queue.Priority(-1)))
}

// Tasks of no group run while ends of as many members as there are slots meet a lock: no
// time passes, and when it is released the group ends without a sweep.
func TestNoTaskWaitsForALockedGroup(t *testing.T) {
	for name, work := range map[string]func(g *grouped, ids []uuid.UUID){
		"Work": func(g *grouped, _ []uuid.UUID) {
			if _, err := g.exec.Work(g.t.Context(), queue.WorkConfig{}); err != nil {
				g.t.Error(err)
			}
		},
		"Process": func(g *grouped, _ []uuid.UUID) {
			if _, err := g.exec.Process(g.t.Context(), 10, queue.From{}); err != nil {
				g.t.Error(err)
			}
		},
		"Local": func(g *grouped, _ []uuid.UUID) { time.Sleep(5 * time.Second) },
		"deliveries": func(g *grouped, ids []uuid.UUID) {
			var deliveries sync.WaitGroup
			for some := range slices.Chunk(ids, 2) {
				for _, id := range some {
					deliveries.Go(func() { g.run(id) })
				}
				deliveries.Wait()
			}
			time.Sleep(time.Second)
			for _, ticket := range g.out.sent() {
				if !slices.Contains(ids, ticket.ID) {
					g.run(ticket.ID)
				}
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, others := time.Now(), 0
			var store *lockable
			d := queue.Dispatcher(nil)
			local := queue.NewLocal()
			if name == "Local" {
				d = local
			}
			var mu sync.Mutex
			g, locked, group, ids := lockedSystem(t, d, func(_ *grouped, run *queue.Run) {
				mu.Lock()
				defer mu.Unlock()
				if run.Row.Task != "member" || run.Row.Group != uuid.Nil {
					return
				}
				if others++; others == 2 {
					if waited := time.Since(began); waited > 0 {
						t.Errorf("%s: tasks of no group have waited for %s", name, waited)
					}
					store.set(false)
				}
			})
			store = locked
			if name == "Local" {
				g.startLocal(local)
			}
			work(g, ids)
			synctest.Wait() // what Local runs has ended
			if want := []string{"yes a " + group.ID.String()}; !slices.Equal(g.ends, want) {
				t.Errorf("%s: %v, want %v; %s", name, g.ends, want, g.log)
			}
			if strings.Contains(g.log.String(), waitsForLock) {
				t.Errorf("%s: logged for a moment: %s", name, g.log)
			}
		})
	}
}

// However long the lock is held, the group ends soon after it, also where nothing else wakes
// the worker, and the log says once why it does not end before.
func TestAGroupThatIsLockedForLongEndsSoonAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended time.Time
		g, store, group, _ := lockedSystem(t, nil, func(_ *grouped, run *queue.Run) {
			if run.Row.Task == "yes" {
				ended = time.Now()
			}
		})
		before := store.took()
		ctx, stop := context.WithCancel(t.Context())
		worked := make(chan error)
		go func() {
			_, err := g.exec.Work(ctx, queue.WorkConfig{Continuous: true, Interval: time.Hour})
			worked <- err
		}()
		time.Sleep(40 * time.Second)
		store.set(false)
		released := time.Now()
		time.Sleep(time.Minute)
		stop()
		if err := <-worked; err != nil {
			t.Fatal(err)
		}
		if want := []string{"yes a " + group.ID.String()}; !slices.Equal(g.ends, want) || ended.Sub(released) > 2*time.Second {
			t.Errorf("%v, %s after the lock", g.ends, ended.Sub(released))
		}
		if looks := store.took() - before; looks > 150 {
			t.Errorf("%d looks in 40 seconds", looks)
		}
		if log := g.log.String(); strings.Count(log, waitsForLock) != 1 || strings.Count(log, afterLock) != 1 {
			t.Errorf("the log: %s", log)
		}
	})
}

// A worker that ends waits a moment for a lock that it has met, and then leaves the group to
// the next sweep.
func TestAWorkerThatEndsLeavesALockedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, store, group, _ := lockedSystem(t, nil, func(*grouped, *queue.Run) {})
		began := time.Now()
		for range 2 { // the second one has met no lock
			if _, err := g.exec.Work(t.Context(), queue.WorkConfig{}); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(began); waited < time.Second || waited > 2*time.Second || strings.Count(g.log.String(), waitsForLock) != 1 {
			t.Errorf("%s: %s", waited, g.log)
		}
		next := newGrouped(t, setup{store: store.Store})
		if _, err := next.client.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		next.ended("after a sweep of another process", group.ID, "yes")
		store.set(false)
		time.Sleep(time.Minute)
		if got := g.group(group.ID); got.State() != queue.GroupSucceeded || len(g.ends) > 0 {
			t.Errorf("%s, %v", got.State(), g.ends)
		}
	})
}

// Neither sweeps nor promotions wait for locked groups, nor do operators.
func TestNobodyWaitsForALockedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, store, _, ids := lockedSystem(t, nil, func(*grouped, *queue.Run) {})
		began := time.Now()
		for _, id := range ids[:2] {
			if _, cancelled, err := g.client.Cancel(t.Context(), id); err != nil || !cancelled {
				t.Fatalf("%v, %v", cancelled, err)
			}
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("Cancel: %s", waited)
		}
		store.set(false)
		time.Sleep(time.Second)
		group, _ := g.create("x")
		store.set(true)
		began = time.Now()
		if _, err := g.client.CancelGroup(t.Context(), group.ID, "", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := g.client.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("CancelGroup and Sweep: %s", waited)
		}
		store.set(false)
		time.Sleep(time.Second)
		if got := g.group(group.ID); got.State() != queue.GroupFailed {
			t.Error(got.State())
		}
	})
}

// A task that ends while a look is under way, which has not seen that, is seen by another.
func TestAnEndDuringALookAtALockedGroupIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, store, group, ids := lockedSystem(t, nil, func(*grouped, *queue.Run) {})
		g.run(ids[0])
		looked, goOn := make(chan struct{}), make(chan struct{})
		store.mu.Lock()
		store.locked, store.looked = false, func() {
			looked <- struct{}{}
			<-goOn
		}
		store.mu.Unlock()
		<-looked
		g.run(ids[1])
		close(goOn)
		<-looked
		synctest.Wait()
		g.ended("after another look", group.ID, "yes")
	})
}

// What a process remembers is bounded: the ends of more groups are left to sweeps.
func TestMoreLockedGroupsThanAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups = 1003
		g, store, _, _ := lockedSystem(t, nil, func(*grouped, *queue.Run) {})
		for range groups {
			group, err := g.client.CreateGroup(t.Context(), g.spec())
			if err != nil {
				t.Fatal(err)
			}
			if err := store.CloseGroup(t.Context(), nil, group.ID); err != nil {
				t.Fatal(err)
			}
		}
		before := len(g.out.sent())
		if _, err := g.client.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(g.log.String(), "more groups are locked by other transactions than are remembered"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		store.set(false)
		time.Sleep(time.Minute)
		left := groups - (len(g.out.sent()) - before)
		if _, err := g.client.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if sent := len(g.out.sent()) - before; left != 3 || sent != groups {
			t.Errorf("%d left, %d of %d ends after a sweep", left, sent, groups)
		}
	})
}
