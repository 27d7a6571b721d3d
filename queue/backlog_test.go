package queue_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

func TestAFullQueueRefusesEnqueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{client: queue.Config{MaxBacklog: map[string]int{"small": 3, "": 5}}}, queue.NewTask("t", echo))
		enqueue := func(name string, n int) error {
			var requests []queue.Request
			for range n {
				requests = append(requests, queue.Request{Task: "t", Args: "x", Options: []queue.Option{queue.OnQueue(name)}})
			}
			_, err := sys.client.EnqueueMany(t.Context(), requests...)
			return err
		}
		full := func(name string, n int) {
			t.Helper()
			if err := enqueue(name, n); !errors.Is(err, queue.ErrBacklogFull) || !strings.Contains(err.Error(), fmt.Sprintf("queue_name %q", name)) {
				t.Errorf("%d for %s: %v", n, name, err)
			}
		}
		accepted := func(name string, n int) {
			t.Helper()
			if err := enqueue(name, n); err != nil {
				t.Errorf("%d for %s: %v", n, name, err)
			}
		}
		full("small", 4)
		accepted("small", 3)
		full("small", 1)
		accepted("any", 5)
		full("any", 1)
		time.Sleep(time.Hour) // the queues are counted again
		full("small", 1)
		if run, err := sys.exec.ProcessOne(t.Context(), queue.From{Queues: []string{"small"}}); run == nil || err != nil {
			t.Fatalf("%+v, %v", run, err)
		}
		time.Sleep(time.Second)
		full("small", 2)
		accepted("small", 1)

		store := sys.store.(*sqlitestore.Store)
		time.Sleep(time.Second)
		tx, err := store.DB().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if _, err := sys.client.EnqueueTx(t.Context(), sqlitestore.Tx(tx), "t", "x", queue.OnQueue("small")); !errors.Is(err, queue.ErrBacklogFull) {
			t.Errorf("in a transaction: %v", err)
		}
	})
}

func TestBoundsOfBacklogsAreChecked(t *testing.T) {
	for _, bounds := range []map[string]int{{"a b": 1}, {"a": 0}, {"": -1}} {
		_, err := queue.NewClient(queue.Config{Store: newStore(t), Registry: queue.NewRegistry(), MaxBacklog: bounds})
		if err == nil || !strings.Contains(err.Error(), "Config.MaxBacklog[") {
			t.Errorf("%v: %v", bounds, err)
		}
	}
}
