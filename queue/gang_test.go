package queue

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestGangKeepsItsGoroutinesWhileOneIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gang
		var calls atomic.Int32
		release := make(chan struct{})
		g.run(func() { <-release })
		for range 100 {
			g.run(func() { calls.Add(1) })
			synctest.Wait()
		}
		if calls.Load() != 100 || len(g.idle) != 1 || g.busy != 1 {
			t.Errorf("%d calls, %d goroutines idle, %d busy", calls.Load(), len(g.idle), g.busy)
		}
		close(release)
		synctest.Wait()
		if len(g.idle) != 0 || g.busy != 0 {
			t.Errorf("at the end %d goroutines idle, %d busy", len(g.idle), g.busy)
		}
	}) // which fails if a goroutine is left
}

func TestGangLosesAGoroutineThatExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gang
		release := make(chan struct{})
		g.run(func() { <-release })
		for range 3 {
			g.run(runtime.Goexit)
			synctest.Wait()
		}
		if len(g.idle) != 0 || g.busy != 1 {
			t.Errorf("%d goroutines idle, %d busy", len(g.idle), g.busy)
		}
		close(release)
	})
}
