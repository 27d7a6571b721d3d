package queue_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A promotion, and a change of a limit, take the rows that a limit concerns out of the claim
// index, unless another system delivers their tickets.
func TestRowsThatALimitConcernsAreMovedOutOfTheWay(t *testing.T) {
	limit := queue.Limit{Kind: queue.LimitQueue, Name: "lim", Running: 1}
	store := newStore(t)
	task := queue.NewTask("t", nothing)
	unheld := func() bool {
		p, err := store.Promote(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return p.Unheld
	}
	add := func(sys *system) {
		t.Helper()
		for range 3 {
			sys.enqueue("t", nil, queue.OnQueue("lim"))
		}
	}
	sys := newSystem(t, setup{store: store}, task)
	add(sys)
	sys.limit(limit)
	if unheld() {
		t.Error("a change of the limit has left rows")
	}
	add(sys)
	if !unheld() {
		t.Error("new rows wait for the limit already")
	}
	if _, err := sys.client.Sweep(t.Context(), 100); err != nil || unheld() {
		t.Errorf("a sweep has left rows, %v", err)
	}
	add(sys)
	if _, err := sys.exec.ProcessOne(t.Context(), queue.From{Queues: []string{"plain"}}); err != nil {
		t.Fatal(err)
	}
	for unheld() { // the worker of another queue works in the background
		runtime.Gosched()
	}
	if err := sys.exec.Shutdown(t.Context(), time.Second); err != nil { // it moves rows once more at most
		t.Fatal(err)
	}
	push := newSystem(t, setup{store: store, dispatch: &recorder{}}, task)
	push.limit(limit)
	for tries := 2; ; tries-- {
		add(push)
		if _, err := push.client.Sweep(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if unheld() {
			return
		}
		if tries == 0 {
			t.Fatal("rows whose tickets are delivered were moved")
		}
	}
}
