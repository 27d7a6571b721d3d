package queue_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// countedScheduler counts the statements about schedules.
type countedScheduler struct {
	fullStore
	queue.Scheduler
	mu         sync.Mutex
	calls      int
	lockedName string // of a schedule that another transaction holds
}

func (c *countedScheduler) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
}

func (c *countedScheduler) since() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.calls
	c.calls = 0
	return n
}

func (c *countedScheduler) Schedules(ctx context.Context) ([]*queue.Schedule, error) {
	c.count()
	return c.Scheduler.Schedules(ctx)
}

func (c *countedScheduler) DueSchedules(ctx context.Context, ahead time.Duration, limit int) ([]string, time.Duration, error) {
	c.count()
	return c.Scheduler.DueSchedules(ctx, ahead, limit)
}

func (c *countedScheduler) ChangeSchedule(ctx context.Context, name string, change func(queue.ScheduleState) (*queue.ScheduleChange, error)) error {
	c.count()
	if name == c.lockedName {
		return fmt.Errorf("schedule %s: %w", name, queue.ErrLocked)
	}
	return c.Scheduler.ChangeSchedule(ctx, name, change)
}

// pullers are the two ways in which a process without deliveries runs tasks.
var pullers = map[string]func(t *testing.T, store queue.Store, defs ...queue.Definition) (*system, func()){
	"local": func(t *testing.T, store queue.Store, defs ...queue.Definition) (*system, func()) {
		local := queue.NewLocal()
		s := newSystem(t, setup{store: store, dispatch: local}, defs...)
		return s, func() { s.startLocal(local) }
	},
	"continuous worker": func(t *testing.T, store queue.Store, defs ...queue.Definition) (*system, func()) {
		s := newSystem(t, setup{store: store}, defs...)
		return s, func() {
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if _, err := s.exec.Work(ctx, queue.WorkConfig{Continuous: true}); err != nil {
					t.Error(err)
				}
			}()
			t.Cleanup(func() { stop(); <-done })
		}
	},
}

// Pulling processes wake for the times of schedules, and send nothing for them before.
func TestPullersTickAtTheTimesOfSchedules(t *testing.T) {
	for name, puller := range pullers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := make(chan queue.Info, 1000)
				inner := newStore(t)
				store := &countedScheduler{fullStore: inner, Scheduler: inner}
				task := noted(seen)
				s, start := puller(t, store, task, queue.Every("s", "7 1-23/2 * * *", task, "x"))
				start()
				synctest.Wait()
				store.since()
				time.Sleep(time.Hour)
				if n := store.since(); n != 0 {
					t.Errorf("%d statements about schedules in an hour without one", n)
				}
				time.Sleep(23 * time.Hour)
				synctest.Wait()
				if len(seen) != 12 {
					t.Fatalf("%d runs in a day", len(seen))
				}
				for range 12 {
					info := <-seen
					row := s.row(info.ID)
					if late := row.StartedAt.Sub(info.ScheduledFor); late < 0 || late > time.Second {
						t.Errorf("started %s after its time %s", late, info.ScheduledFor)
					}
				}
				if n := store.since(); n > 12*5 {
					t.Errorf("%d statements about schedules for 12 occurrences", n)
				}
			})
		})
	}
}

// What a process stores itself, at its start or later, it ticks at its next time.
func TestPullersTickWhatTheirProcessHasStored(t *testing.T) {
	for name, puller := range pullers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := make(chan queue.Info, 1000)
				task := noted(seen)
				s, start := puller(t, newStore(t), task, queue.Every("code", "@every 1s", task, "x"))
				late := func() {
					t.Helper()
					time.Sleep(3*time.Second + 100*time.Millisecond)
					synctest.Wait()
					if len(seen) < 3 {
						t.Errorf("%d runs in three seconds", len(seen))
					}
					for len(seen) > 0 {
						info := <-seen
						if late := s.row(info.ID).StartedAt.Sub(info.ScheduledFor); late > time.Second/2 {
							t.Errorf("%s started %s after its time %s", info.Schedule, late, info.ScheduledFor)
						}
					}
				}
				start()
				if err := s.client.StoreSchedules(t.Context()); err != nil {
					t.Fatal(err)
				}
				late()
				if _, err := s.client.PauseSchedule(t.Context(), "code", ""); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				s.put(queue.ScheduleRequest{Name: "runtime", Spec: "@every 1s"})
				late()
			})
		})
	}
}

// A schedule that another process makes is noticed with the next promotion.
func TestPullersNoticeNewSchedules(t *testing.T) {
	for name, puller := range pullers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := make(chan queue.Info, 1000)
				s, start := puller(t, newStore(t), noted(seen))
				start()
				time.Sleep(time.Minute)
				other := newSystem(t, setup{store: s.store}, noted(seen))
				other.put(queue.ScheduleRequest{Name: "s", Spec: "@every 10s"})
				time.Sleep(time.Minute + time.Second)
				synctest.Wait()
				if len(seen) != 6 {
					t.Errorf("%d runs in a minute", len(seen))
				}
				if _, err := other.client.PauseSchedule(t.Context(), "s", ""); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if len(seen) > 6 {
					t.Errorf("%d runs after the pause", len(seen))
				}
			})
		})
	}
}

// A worker that ends when nothing is due begins with what is due of the schedules.
func TestEndingWorkersTickOnce(t *testing.T) {
	bubble(t, func(t *testing.T, s *system, seen chan queue.Info) {
		s.put(queue.ScheduleRequest{Name: "s", Spec: "@every 1h", CatchUp: queue.CatchUpAll})
		time.Sleep(150 * time.Minute)
		worked, err := s.exec.Work(t.Context(), queue.WorkConfig{})
		if err != nil || worked.Runs != 2 || len(seen) != 2 {
			t.Errorf("%+v %v", worked, err)
		}
	})
}

func TestSweepsTick(t *testing.T) {
	bubble(t, func(t *testing.T, s *system, _ chan queue.Info) {
		s.put(queue.ScheduleRequest{Name: "s", Spec: "@every 1h"})
		if swept, err := s.client.Sweep(t.Context(), 0); err != nil || swept.Enqueued != 0 {
			t.Errorf("%+v %v", swept, err)
		}
		time.Sleep(time.Hour)
		if swept, err := s.client.Sweep(t.Context(), 0); err != nil || swept.Enqueued != 1 {
			t.Errorf("%+v %v", swept, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		go s.client.SweepEvery(ctx, time.Minute)
		time.Sleep(3*time.Hour + 30*time.Second)
		stop()
		synctest.Wait()
		wantEqual(t, "times", s.times("s"), []string{"01:00", "02:00", "03:00", "04:00"})
	})
}

// A schedule that fails, or is locked by a process that was stopped, is looked at less and
// less often; others are ticked at their times.
func TestTickersBackOff(t *testing.T) {
	for name, c := range map[string]struct {
		locked bool
		most   int // ticks in ten minutes
	}{"failed": {false, 60}, "locked": {true, 150}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := make(chan queue.Info, 1000)
				inner := newStore(t)
				store := &countedScheduler{fullStore: inner, Scheduler: inner}
				task := noted(seen)
				s, start := pullers["local"](t, store, task)
				s.put(queue.ScheduleRequest{Name: "bad", Spec: "@every 1s"})
				s.put(queue.ScheduleRequest{Name: "good", Spec: "@every 5m"})
				if c.locked {
					store.lockedName = "bad"
				} else {
					s.breakSchedule("bad")
				}
				start()
				time.Sleep(time.Second)
				store.since()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				wantEqual(t, "runs of the other one", len(seen), 2)
				if n := store.since(); n > 2*c.most { // each looks for what is due, and at the schedule
					t.Errorf("%d statements", n)
				}
			})
		})
	}
}
