package queue_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

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
		if err := enqueue("small", 4); errors.Is(err, queue.ErrBacklogFull) || !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), `queue_name "small": 4 tasks in one call never fit`) {
			t.Errorf("more than fit into an empty queue: %v", err)
		}
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
		defer func() { _ = tx.Rollback() }()
		if _, err := sys.client.EnqueueTx(t.Context(), sqlitestore.Tx(tx), "t", "x", queue.OnQueue("small")); !errors.Is(err, queue.ErrBacklogFull) {
			t.Errorf("in a transaction: %v", err)
		}
	})
}

// An enqueue that adds no row is answered as ever, however full its queue is.
func TestAFullQueueAnswersEnqueuesThatAddNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{client: queue.Config{MaxBacklog: map[string]int{"": 3}}}, queue.NewTask("t", echo))
		id := uuid.New()
		key := func(key string, opts ...queue.UniqueOption) queue.Request {
			return queue.Request{Task: "t", Args: "x", Options: []queue.Option{queue.Unique(key, opts...)}}
		}
		byID, fresh := queue.Request{Task: "t", Args: "x", Options: []queue.Option{queue.WithID(id)}}, queue.Request{Task: "t", Args: "x"}
		enqueue := func(requests ...queue.Request) ([]*queue.Handle, error) {
			return sys.client.EnqueueMany(t.Context(), requests...)
		}
		if _, err := enqueue(byID, key("a"), key("b")); err != nil {
			t.Fatal(err)
		}
		existed := func(what string, requests ...queue.Request) {
			t.Helper()
			handles, err := enqueue(requests...)
			if err != nil || !handles[0].Existed {
				t.Errorf("%s: %v", what, err)
			}
		}
		fails := func(what string, want error, requests ...queue.Request) {
			t.Helper()
			if _, err := enqueue(requests...); !errors.Is(err, want) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for range 5 { // the repeats are not counted either
			existed("the ID", byID)
			existed("the key", key("a"))
			existed("a replacement", key("a", queue.OnConflict(queue.ReplaceExisting)))
			existed("several", byID, key("a"), key("b"), key("a"))
		}
		fails("the key, refused", queue.ErrDuplicate, key("a", queue.OnConflict(queue.RefuseDuplicate)))
		fails("the ID with other arguments", queue.ErrIDConflict, queue.Request{Task: "t", Args: "y", Options: []queue.Option{queue.WithID(id)}})
		fails("a new row", queue.ErrBacklogFull, fresh)
		fails("a new key", queue.ErrBacklogFull, key("c"))
		fails("a new ID", queue.ErrBacklogFull, queue.Request{Task: "t", Options: []queue.Option{queue.WithID(uuid.New())}})
		fails("an old one and a new one", queue.ErrBacklogFull, key("a"), key("c"))

		if run, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{}); err != nil {
			t.Fatalf("%+v, %v", run, err)
		}
		time.Sleep(time.Second) // the queue is counted again
		existed("a finished ID", byID)
		fails("two for the one that is free", queue.ErrBacklogFull, key("c"), key("d"))
		if handles, err := enqueue(key("c"), key("a"), key("c")); err != nil || handles[0].Existed || !handles[1].Existed || !handles[2].Existed {
			t.Errorf("one new row, three times: %v", err)
		}
		fails("full again", queue.ErrBacklogFull, key("d"))
	})
}

// What an insert did not store does not count until the next count.
func TestRepeatsDoNotFillABacklog(t *testing.T) {
	sys := newSystem(t, setup{client: queue.Config{MaxBacklog: map[string]int{"": 3}}}, queue.NewTask("t", echo))
	for range 3 {
		if _, err := sys.client.Enqueue(t.Context(), "t", "x", queue.Unique("a")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := sys.client.Enqueue(t.Context(), "t", "x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sys.client.Enqueue(t.Context(), "t", "x"); !errors.Is(err, queue.ErrBacklogFull) {
		t.Error(err)
	}
}

func TestAFullQueueInATransaction(t *testing.T) {
	sys := newSystem(t, setup{client: queue.Config{MaxBacklog: map[string]int{"": 1}}}, queue.NewTask("t", echo))
	sqlite := sys.store.(*sqlitestore.Store)
	tx, err := sqlite.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	enqueue := func(key string) (*queue.Handle, error) {
		return sys.client.EnqueueTx(t.Context(), sqlitestore.Tx(tx), "t", "x", queue.Unique(key))
	}
	if _, err := enqueue("a"); err != nil {
		t.Fatal(err)
	}
	if h, err := enqueue("a"); err != nil || !h.Existed {
		t.Errorf("again: %v", err)
	}
	if _, err := enqueue("b"); !errors.Is(err, queue.ErrBacklogFull) {
		t.Errorf("another: %v", err)
	}
	if err := tx.Commit(); err != nil { // a refusal has not ended it
		t.Fatal(err)
	}
	if h, err := sys.client.Enqueue(t.Context(), "t", "x", queue.Unique("a")); err != nil || !h.Existed {
		t.Errorf("after the commit: %v", err)
	}
}

func TestBoundsOfBacklogsAreChecked(t *testing.T) {
	for _, bounds := range []map[string]int{{"a b": 1}, {"a": 0}, {"": -1}} {
		_, err := queue.NewClient(queue.Config{Store: newStore(t), Registry: queue.NewRegistry(), MaxBacklog: bounds})
		if err == nil || !strings.Contains(err.Error(), "Config.MaxBacklog[") {
			t.Errorf("%v: %v", bounds, err)
		}
	}
}
