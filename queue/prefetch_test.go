package queue_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

const aheadSlots = 10

// claimed is a store that counts the rows of each claim.
type claimed struct {
	queue.Store
	mu    sync.Mutex
	sizes []int
}

func (c *claimed) ClaimNext(ctx context.Context, r queue.ClaimNextRequest) ([]*queue.Row, error) {
	rows, err := c.Store.ClaimNext(ctx, r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sizes = append(c.sizes, len(rows))
	return rows, err
}

// largest is the size of the largest claim since the last call.
func (c *claimed) largest() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, size := range c.sizes {
		n = max(n, size)
	}
	c.sizes = nil
	return n
}

// crowd is a system with brief tasks ("t") and tasks that need a minute ("long").
type crowd struct {
	*system
	claims  *claimed
	atOnce  atomic.Int64
	most    atomic.Int64 // functions that ran at once
	ran     sync.Map     // how often, by ID
	worked  queue.WorkResult
	stopped chan struct{} // closed when Work has returned
}

func newCrowd(t *testing.T, s setup) *crowd {
	t.Helper()
	c := &crowd{claims: &claimed{Store: newStore(t)}, stopped: make(chan struct{})}
	function := func(takes time.Duration) func(ctx context.Context, _ any) (any, error) {
		return func(ctx context.Context, _ any) (any, error) {
			c.most.Store(max(c.most.Load(), c.atOnce.Add(1)))
			defer c.atOnce.Add(-1)
			info, _ := queue.InfoFrom(ctx)
			times, _ := c.ran.LoadOrStore(info.ID, new(atomic.Int64))
			times.(*atomic.Int64).Add(1)
			if takes == 0 { // timers that have expired already, many at once, crash the race detector of Go 1.26 in a bubble (see golang/go#78156)
				return nil, nil
			}
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(takes):
				return nil, nil
			}
		}
	}
	s.store = c.claims
	s.exec.Concurrency = aheadSlots
	c.system = newSystem(t, s, queue.NewTask("t", function(0)), queue.NewTask("long", function(time.Minute)))
	return c
}

func (c *crowd) enqueueMany(n int, name string, opts ...queue.Option) (ids []uuid.UUID) {
	c.t.Helper()
	requests := make([]queue.Request, n)
	for i := range requests {
		requests[i] = queue.Request{Task: name, Options: opts}
	}
	handles, err := c.client.EnqueueMany(c.t.Context(), requests...)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, h := range handles {
		ids = append(ids, h.ID)
	}
	return ids
}

// briefThenLong enqueues tasks that teach the executor to claim ahead, and then
// such for which that was wrong.
func (c *crowd) briefThenLong() (long []uuid.UUID) {
	c.enqueueMany(150, "t", queue.Priority(1))
	return c.enqueueMany(60, "long")
}

func (c *crowd) work() {
	go func() {
		defer close(c.stopped)
		var err error
		if c.worked, err = c.exec.Work(c.t.Context(), queue.WorkConfig{OnRun: func(run *queue.Run) {
			if run == nil {
				c.t.Error("OnRun is called for a released claim")
			}
		}}); err != nil {
			c.t.Error(err)
		}
	}()
}

// states counts the rows by status, and checks that no attempt of a READY one
// counts.
func (c *crowd) states(ids []uuid.UUID) map[queue.Status]int {
	c.t.Helper()
	states := map[queue.Status]int{}
	for _, id := range ids {
		row := c.row(id)
		states[row.Status]++
		if row.Status == queue.StatusReady && (row.Attempts != 0 || len(row.WorkerIDs) != 0) {
			c.t.Errorf("the claim of %+v was not released completely", row)
		}
	}
	return states
}

// ranOnce checks that every function ran once.
func (c *crowd) ranOnce(ids []uuid.UUID) {
	c.t.Helper()
	for _, id := range ids {
		if times, ok := c.ran.Load(id); !ok || times.(*atomic.Int64).Load() != 1 {
			c.t.Errorf("%s ran %v times", id, times)
		}
	}
}

func TestBriefTasksArePrefetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, setup{})
		ids := c.enqueueMany(300, "t")
		c.work()
		<-c.stopped
		if n := c.claims.largest(); n <= aheadSlots || n > 9*aheadSlots {
			t.Errorf("the largest claim was of %d tasks", n)
		}
		if n := c.most.Load(); n > aheadSlots {
			t.Errorf("%d ran at once", n)
		}
		if c.worked.Runs != len(ids) {
			t.Errorf("%+v", c.worked)
		}
		c.ranOnce(ids)
	})
}

func TestLongTasksAreNotPrefetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, setup{})
		c.enqueueMany(30, "long")
		c.work()
		<-c.stopped
		if n := c.claims.largest(); n != aheadSlots || c.worked.Runs != 30 {
			t.Errorf("the largest claim was of %d tasks, %+v", n, c.worked)
		}
	})
}

func TestRowsPrefetchedForTooLongAreReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, setup{})
		long := c.briefThenLong()
		c.work()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if states := c.states(long); states[queue.StatusRunning] <= aheadSlots {
			t.Fatalf("nothing was claimed ahead: %v", states)
		}
		if _, err := c.exec.RunByID(t.Context(), long[len(long)-1], queue.RunOptions{}); !errors.Is(err, queue.ErrBusy) {
			t.Errorf("a delivery with all slots taken: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if states := c.states(long); states[queue.StatusRunning] != aheadSlots || states[queue.StatusReady] != len(long)-aheadSlots {
			t.Errorf("after the wait: %v", states)
		}
		c.claims.largest()
		<-c.stopped
		if n := c.claims.largest(); n > aheadSlots {
			t.Errorf("%d long tasks were claimed at once", n)
		}
		if c.worked.Runs != 210 || c.most.Load() > aheadSlots {
			t.Errorf("%+v, %d at once", c.worked, c.most.Load())
		}
		c.ranOnce(long)
	})
}

// MaxTasks counts runs, not claims.
func TestReleasedClaimsDoNotCountAsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, setup{})
		long := c.briefThenLong()
		worked, err := c.exec.Work(t.Context(), queue.WorkConfig{MaxTasks: 195})
		if states := c.states(long); err != nil || worked.Runs != 195 || states[queue.StatusSuccessful] != 45 || states[queue.StatusReady] != 15 {
			t.Errorf("%+v, %v, %v", worked, err, states)
		}
	})
}

func TestShutdownReleasesPrefetchedRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, setup{})
		long := c.briefThenLong()
		c.work()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.exec.Shutdown(ended, time.Second); err != nil {
			t.Error(err)
		}
		<-c.stopped
		if states := c.states(long); states[queue.StatusReady] != len(long) {
			t.Errorf("after the shutdown: %v", states)
		}
		if c.most.Load() > aheadSlots {
			t.Errorf("%d ran at once", c.most.Load())
		}
	})
}

func TestLocalRunsWhatItReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := queue.NewLocal()
		c := newCrowd(t, setup{dispatch: local})
		long := c.briefThenLong()
		c.startLocal(local)
		for _, id := range long {
			if row := c.wait(id); row.Status != queue.StatusSuccessful {
				t.Fatalf("%+v", row)
			}
		}
		c.ranOnce(long)
	})
}
