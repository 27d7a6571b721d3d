package admin

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// slowStats is a cache whose overview is read when the test says so.
func slowStats(now time.Time) (c *statsCache, begun *atomic.Int32, read chan error) {
	h, b := newFakeStats(now)
	h.stats.patience = statsPatience
	begun, read = new(atomic.Int32), make(chan error)
	h.stats.overview = func(ctx context.Context, r queue.OverviewRequest) (queue.Overview, error) {
		begun.Add(1)
		if err := <-read; err != nil {
			return queue.Overview{}, err
		}
		return b.Overview(ctx, r)
	}
	return h.stats, begun, read
}

// A page does not wait for a slow database: it is sent with what is known, and the one
// that follows at once has the rest. Any number of pages wait for one refresh.
func TestAPageDoesNotWaitForSlowStatistics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		c, begun, read := slowStats(now)
		for range 3 {
			start := time.Now()
			view, err := c.look(t.Context(), now)
			if err != nil || view.Known || !view.Partial || time.Since(start) != statsPatience {
				t.Errorf("after %v: known %t, partial %t, %v", time.Since(start), view.Known, view.Partial, err)
			}
		}
		if begun.Load() != 1 {
			t.Errorf("%d refreshes at a time", begun.Load())
		}
		read <- nil
		synctest.Wait()
		view, err := c.look(t.Context(), now)
		if err != nil || !view.Known || len(view.Queues) != 1 || begun.Load() != 1 {
			t.Errorf("%+v, %v, read %d times", view, err, begun.Load())
		}
		// Nothing is read while nobody looks.
		time.Sleep(time.Hour)
		if begun.Load() != 1 {
			t.Errorf("read %d times", begun.Load())
		}
	})
}

// What a page needs after other statements is read beside them, and it waits for a limited time in all.
func TestStatisticsAreReadBesideOtherStatements(t *testing.T) {
	for took, wait := range map[time.Duration]time.Duration{0: statsPatience, 50 * time.Millisecond: statsPatience - 50*time.Millisecond, time.Second: 0} {
		synctest.Test(t, func(t *testing.T) {
			c, begun, read := slowStats(time.Now())
			start := time.Now()
			c.prepare(t.Context(), start)
			time.Sleep(took)
			view, err := c.latest(t.Context(), start, start)
			if waited := time.Since(start) - took; err != nil || view.Known || waited != wait || begun.Load() != 1 {
				t.Errorf("after %v it waits for %v, read %d times, %v", took, waited, begun.Load(), err)
			}
			read <- nil
			synctest.Wait()
			c.prepare(t.Context(), start)
			if view, err := c.latest(t.Context(), start, start); err != nil || !view.Known || begun.Load() != 1 {
				t.Errorf("known %t, read %d times, %v", view.Known, begun.Load(), err)
			}
		})
	}
}

// An action's effect is not hidden by a refresh that began before it.
func TestAnActionDuringARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		c, begun, read := slowStats(now)
		if _, err := c.look(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		c.forget()
		read <- nil
		synctest.Wait()
		view, err := c.look(t.Context(), now)
		if err != nil || !view.Known || !view.Partial || begun.Load() != 2 {
			t.Errorf("known %t, partial %t, %v, read %d times", view.Known, view.Partial, err, begun.Load())
		}
		read <- nil
		synctest.Wait()
	})
}

// An error that comes after a page was sent is what the next page shows, until a refresh
// succeeds. What a process finds after it was frozen is no error of the database.
func TestErrorsOfALateRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		c, _, read := slowStats(now)
		broken := errors.New("broken")
		look := func() error {
			_, err := c.look(t.Context(), now)
			return err
		}
		if err := look(); err != nil {
			t.Fatal(err)
		}
		read <- broken
		synctest.Wait()
		if err := look(); !errors.Is(err, broken) {
			t.Errorf("the next page: %v", err)
		}
		read <- nil
		synctest.Wait()
		if err := look(); err != nil {
			t.Errorf("after a success: %v", err)
		}
		c.forget()
		if err := look(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		read <- context.DeadlineExceeded
		synctest.Wait()
		if err := look(); err != nil {
			t.Errorf("after an hour: %v", err)
		}
		read <- nil
		synctest.Wait()
	})
}

// A panic of a refresh ends a request, and not the process.
func TestAPanicOfARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		c, _, _ := slowStats(now)
		c.overview = func(context.Context, queue.OverviewRequest) (queue.Overview, error) { panic("broken") }
		defer func() {
			if p := recover(); p != "broken" {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _ = c.look(t.Context(), now)
		t.Error("no panic")
	})
}
