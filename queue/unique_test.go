package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

type order struct {
	ID    string `json:"id"`
	Items int    `json:"items"`
}

func keepOrder(_ context.Context, in order) (order, error) { return in, nil }

func TestUniqueIsOneTaskAtATime(t *testing.T) {
	sent := &recorder{}
	sys := newSystem(t, setup{dispatch: sent}, queue.NewTask("t", nothing), queue.NewTask("other", nothing))
	unique := func(args any, opts ...queue.UniqueOption) *queue.Handle {
		t.Helper()
		handle, err := sys.client.Enqueue(t.Context(), "t", args, queue.Unique("k", opts...))
		if err != nil {
			t.Fatal(err)
		}
		return handle
	}
	first := unique(1)
	if again := unique(2); !again.Existed || again.ID != first.ID || string(again.Row.Args) != "1" || again.Row.UniqueKey != "k" {
		t.Errorf("%+v", again)
	}
	// The first process may have died before its ticket went out.
	if n := len(sent.sent()); n != 2 {
		t.Errorf("%d tickets, want 2", n)
	}
	if handle, err := sys.client.Enqueue(t.Context(), "other", 1, queue.Unique("k")); err != nil || handle.Existed {
		t.Errorf("another task: %+v, %v", handle, err)
	}
	sys.run(first.ID)
	next := unique(3, queue.WhileKept())
	if next.Existed || next.ID == first.ID {
		t.Errorf("after its end: %+v", next)
	}
	sys.run(next.ID)
	if again := unique(4); !again.Existed || again.ID != next.ID || again.Row.Status != queue.StatusSuccessful {
		t.Errorf("while it is kept: %+v", again)
	}
	before := len(sent.sent())
	unique(5)
	if len(sent.sent()) != before {
		t.Error("a task that has ended was dispatched")
	}
}

func TestUniqueForIsAPeriod(t *testing.T) {
	now := time.Now()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	sys := newSystem(t, setup{store: store}, queue.NewTask("t", nothing))
	unique := func() *queue.Handle {
		t.Helper()
		handle, err := sys.client.Enqueue(t.Context(), "t", nil, queue.Unique("k", queue.UniqueFor(time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		return handle
	}
	first := unique()
	sys.run(first.ID)
	now = now.Add(time.Hour - time.Second)
	if again := unique(); again.ID != first.ID {
		t.Errorf("within the hour: %+v", again)
	}
	now = now.Add(time.Second)
	second := unique()
	if second.Existed || second.ID == first.ID {
		t.Errorf("after it: %+v", second)
	}
	now = now.Add(time.Hour) // the second has not ended
	if third := unique(); third.Existed || third.ID == second.ID {
		t.Errorf("an hour later: %+v", third)
	}
}

func TestReplaceDispatchesForTheNewTime(t *testing.T) {
	sent := &recorder{}
	sys := newSystem(t, setup{dispatch: sent}, queue.NewTask("t", nothing))
	replace := func(opts ...queue.Option) (*queue.Handle, error) {
		return sys.client.Enqueue(t.Context(), "t", len(opts), append(opts, queue.Unique("k", queue.OnConflict(queue.ReplaceExisting)))...)
	}
	first, err := replace(queue.Delay(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	second, err := replace(queue.Delay(time.Minute), queue.Priority(9))
	if err != nil || !second.Existed || second.ID != first.ID || second.Row.Priority != 9 || string(second.Row.Args) != "2" {
		t.Fatalf("%+v, %v", second, err)
	}
	tickets := sent.sent()
	if len(tickets) != 2 || tickets[1].ID != first.ID || !tickets[1].DueAt.Equal(second.Row.RunAfter) || tickets[1].DueAt.Sub(tickets[0].DueAt) > -58*time.Minute {
		t.Errorf("tickets: %+v", tickets)
	}
	if _, err := replace(); err != nil {
		t.Fatal(err)
	}
	if run := sys.run(first.ID); string(run.Row.Args) != "0" || run.Outcome != queue.OutcomeSucceeded {
		t.Errorf("it ran as %+v", run.Row)
	}
	kept, err := sys.client.Enqueue(t.Context(), "t", 1, queue.Unique("kept", queue.WhileKept()))
	if err != nil {
		t.Fatal(err)
	}
	sys.run(kept.ID)
	_, err = sys.client.Enqueue(t.Context(), "t", 2, queue.Unique("kept", queue.OnConflict(queue.ReplaceExisting)))
	var duplicate *queue.DuplicateError
	if !errors.As(err, &duplicate) || duplicate.Row.ID != kept.ID || !strings.Contains(err.Error(), "is SUCCESSFUL, and only a READY task can be replaced") {
		t.Errorf("a task that has ended: %v", err)
	}
}

// Local mode and pulling workers wait for the next task that is due: a replacement that
// makes one due wakes them.
func TestAReplacedTaskRunsAtOnceInLocalMode(t *testing.T) {
	echo := queue.NewTask("echo", func(_ context.Context, in int) (int, error) { return in, nil })
	client, err := queue.StartLocal(t.Context(), queue.Config{Store: newStore(t), Registry: queue.NewRegistry(echo)})
	if err != nil {
		t.Fatal(err)
	}
	unique := queue.Unique("k", queue.OnConflict(queue.ReplaceExisting))
	if _, err := echo.Enqueue(t.Context(), client, 1, unique, queue.Delay(time.Hour)); err != nil {
		t.Fatal(err)
	}
	handle, err := echo.Enqueue(t.Context(), client, 2, unique)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := echo.Wait(t.Context(), client, handle.ID); err != nil || out != 2 {
		t.Errorf("%d, %v", out, err)
	}
}

func TestDuplicatesAreRefusedByNumber(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing))
	first := sys.enqueue("t", 1, queue.Unique("k"))
	refuse := []queue.Option{queue.Unique("k", queue.OnConflict(queue.RefuseDuplicate))}
	_, err := sys.client.EnqueueMany(t.Context(), queue.Request{Task: "t"}, queue.Request{Task: "t", Options: []queue.Option{queue.Unique("j")}}, queue.Request{Task: "t", Options: refuse})
	var refused *queue.RequestError
	var duplicate *queue.DuplicateError
	if !errors.Is(err, queue.ErrDuplicate) || !errors.As(err, &refused) || refused.Index != 2 || !errors.As(err, &duplicate) || duplicate.Row.ID != first {
		t.Errorf("%v", err)
	}
	if want := `unique_key "k": task ` + first.String() + ` holds it and is READY`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// A duplicate within one call names the other request, and no task that is not there.
func TestDuplicatesWithinACallAreRefusedByNumber(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing))
	unique := func(key string, more ...queue.Option) queue.Request {
		return queue.Request{Task: "t", Options: append(more, queue.Unique(key, queue.OnConflict(queue.RefuseDuplicate)))}
	}
	id, stored := uuid.New(), sys.enqueue("t", nil, queue.WithID(uuid.New()), queue.Unique("stored"))
	for _, c := range []struct {
		want           string
		index, earlier int
		requests       []queue.Request
	}{
		{`unique_key "k": request 2 of this call has it too, so nothing of the call is stored`, 3, 2, []queue.Request{{Task: "t"}, unique("k"), unique("j"), unique("k")}},
		{`unique_key "k": request 1 of this call has it too, so nothing of the call is stored`, 1, 1, []queue.Request{unique("k", queue.WithID(id)), unique("k")}},
		{`unique_key "stored": task ` + stored.String() + ` holds it and is READY`, 1, 0, []queue.Request{unique("stored", queue.WithID(stored)), unique("stored")}},
		{`id ` + id.String() + `: request 1 of this call has it too, with another task or other arguments, so nothing of the call is stored`, 1, 1,
			[]queue.Request{{Task: "t", Args: 1, Options: []queue.Option{queue.WithID(id)}}, {Task: "t", Args: 2, Options: []queue.Option{queue.WithID(id)}}}},
		{`id ` + stored.String() + `: this id belongs to another task already`, 1, 0, []queue.Request{{Task: "t"}, {Task: "t", Args: 2, Options: []queue.Option{queue.WithID(stored)}}}},
	} {
		_, err := sys.client.EnqueueMany(t.Context(), c.requests...)
		var refused *queue.RequestError
		if !errors.As(err, &refused) || refused.Index != c.index || err.Error() != c.want {
			t.Errorf("%v, want request %d: %s", err, c.index, c.want)
		}
		var duplicate *queue.DuplicateError
		if errors.As(err, &duplicate) && duplicate.Earlier != c.earlier {
			t.Errorf("%v: %d", err, duplicate.Earlier)
		}
	}
}

func TestUniqueByAndUniqueArgs(t *testing.T) {
	byID := queue.NewTask("by.id", keepOrder, queue.UniqueBy(func(o order) string { return o.ID }))
	byArgs := queue.NewTask("by.args", keepOrder, queue.UniqueArgs(queue.WhileKept()))
	broken := queue.NewTask("broken", keepOrder, queue.UniqueBy(func(o order) string { return strings.Repeat("x", 200/o.Items) }))
	sys := newSystem(t, setup{}, byID, byArgs, broken)
	handles, err := byID.EnqueueMany(t.Context(), sys.client, []order{{"a", 1}, {"b", 1}, {"a", 2}, {"", 1}, {"", 1}})
	if err != nil {
		t.Fatal(err)
	}
	for i, existed := range []bool{false, false, true, false, false} {
		if handles[i].Existed != existed {
			t.Errorf("element %d: %+v", i, handles[i])
		}
	}
	if handles[2].ID != handles[0].ID || handles[0].Row.UniqueKey != "a" || handles[3].Row.UniqueKey != "" {
		t.Errorf("%+v", handles)
	}
	if h, err := byID.Enqueue(t.Context(), sys.client, order{"a", 1}, queue.Unique("mine")); err != nil || h.Existed || h.Row.UniqueKey != "mine" {
		t.Errorf("a key of the enqueue's own: %+v, %v", h, err)
	}
	one, err := sys.client.Enqueue(t.Context(), "by.args", json.RawMessage(`{"id":"a","items":1}`))
	if err != nil || !strings.HasPrefix(one.Row.UniqueKey, "sha256:") || one.Row.UniqueScope != queue.UniqueKept {
		t.Fatalf("%+v, %v", one, err)
	}
	for args, existed := range map[string]bool{` {"items":1, "id":"a"}`: true, `{"id":"a","items":2}`: false} {
		if h, err := sys.client.Enqueue(t.Context(), "by.args", json.RawMessage(args)); err != nil || h.Existed != existed {
			t.Errorf("%s: %+v, %v", args, h, err)
		}
	}
	if _, err := broken.Enqueue(t.Context(), sys.client, order{}); errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "UniqueBy of broken: its function ended in a panic: runtime error: integer divide by zero") {
		t.Errorf("a function that panics: %v", err)
	}
}

func TestUniqueOptionsThatAreRefused(t *testing.T) {
	long := queue.NewTask("long", keepOrder, queue.UniqueBy(func(order) string { return strings.Repeat("x", 201) }))
	orders := queue.NewTask("orders", keepOrder)
	sys := newSystem(t, setup{}, queue.NewTask("t", nothing), long, orders)
	if _, err := long.Enqueue(t.Context(), sys.client, order{}); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "UniqueBy of long: unique_key must be 1 to 200 bytes") {
		t.Errorf("a long key of UniqueBy: %v", err)
	}
	for want, option := range map[string]queue.Option{
		"unique_key must be 1 to 200 bytes of UTF-8 without zero bytes, not 0 bytes":   queue.Unique(""),
		"unique_key must be 1 to 200 bytes of UTF-8 without zero bytes, not 201 bytes": queue.Unique(strings.Repeat("x", 201)),
		`not 2 bytes ("a\xff")`:                  queue.Unique("a\xff"),
		`not 2 bytes ("a\x00")`:                  queue.Unique("a\x00"),
		"unique_for must be a positive duration": queue.Unique("k", queue.UniqueFor(0)),
		"at least 1ms":                           queue.Unique("k", queue.UniqueFor(time.Microsecond)),
		"at most 100 years":                      queue.Unique("k", queue.UniqueFor(200*365*24*time.Hour)),
		"on_conflict must be":                    queue.Unique("k", queue.OnConflict(7)),
		"UniqueBy takes the type int, and the arguments have the type queue_test.order": queue.UniqueBy(func(int) string { return "k" }),
	} {
		if _, err := orders.Enqueue(t.Context(), sys.client, order{}, option); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := orders.EnqueueMany(t.Context(), sys.client, []order{{}, {}}, queue.Unique("k")); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "use UniqueBy") {
		t.Errorf("one key for many: %v", err)
	}
	for want, option := range map[string]queue.Option{
		"Unique are options of Enqueue": queue.Unique("k"),
		"UniqueBy takes the type int":   queue.UniqueBy(func(int) string { return "k" }),
	} {
		if got := panicOf(func() { queue.NewTask("x", keepOrder, option) }); !strings.Contains(got, want) {
			t.Errorf("NewTask: %q, want %s", got, want)
		}
	}
	if _, err := sys.client.Enqueue(t.Context(), "t", 1, queue.Unique(strings.Repeat("я", 100))); err != nil {
		t.Errorf("a key of 200 bytes: %v", err)
	}
}

// A task that has expired does not keep a failed one with its key from being retried.
func TestARetryIsNotSkippedForATaskThatHasExpired(t *testing.T) {
	for name, retry := range map[string]func(ctx context.Context, sys *system, s queue.Selection) (int, error){
		"a retry": func(ctx context.Context, sys *system, s queue.Selection) (int, error) {
			acted, err := sys.client.Act(ctx, queue.ActRequest{Action: queue.ActionRetry, Selection: s}, nil)
			return acted.Done, err
		},
		"the count before it": func(ctx context.Context, sys *system, s queue.Selection) (int, error) {
			return sys.client.CountMatching(ctx, queue.ActionRetry, s, 10)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			sys := newSystem(t, setup{}, queue.NewTask("t", func(context.Context, any) (any, error) { return nil, queue.Discard(errors.New("no")) }))
			failed := sys.enqueue("t", nil, queue.Unique("k"))
			sys.run(failed)
			sys.enqueue("t", nil, queue.Unique("k"), queue.ExpiresIn(time.Minute))
			time.Sleep(2 * time.Minute)
			if holder, err := sys.client.KeyHolder(t.Context(), sys.row(failed)); holder != nil || err != nil {
				t.Errorf("its key is held by %+v, %v", holder, err)
			}
			if n, err := retry(t.Context(), sys, queue.Selection{IDs: []uuid.UUID{failed}}); n != 1 || err != nil {
				t.Errorf("%s: %d tasks, %v", name, n, err)
			}
			sys.shutdown()
		})
	}
}

// A task that has expired keeps its key until it is cancelled: then nothing is left over.
func TestARetryCancelsATaskThatHasExpired(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", func(context.Context, any) (any, error) { return nil, queue.Discard(errors.New("no")) }))
	failed := sys.enqueue("t", nil, queue.Unique("k"))
	sys.run(failed)
	expiring := &queue.NewRow{Row: &queue.Row{
		ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "default", Backend: "default", Args: []byte(`null`), MaxAttempts: 1,
		UniqueKey: sys.row(failed).UniqueKey, UniqueScope: queue.UniqueUnfinished, ExpiresAt: time.Now().Add(-time.Hour),
	}}
	if err := sys.store.Insert(t.Context(), expiring); err != nil || expiring.Existed {
		t.Fatal(expiring.Existed, err)
	}
	selection := queue.Selection{IDs: []uuid.UUID{failed}}
	if n, err := sys.client.CountMatching(t.Context(), queue.ActionRetry, selection, 10); n != 1 || err != nil {
		t.Errorf("counted: %d, %v", n, err)
	}
	if acted, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRetry, Selection: selection}, nil); err != nil || acted != (queue.ActionResult{Done: 1}) {
		t.Errorf("%+v, %v", acted, err)
	}
	if got := []queue.Status{sys.row(failed).Status, sys.row(expiring.Row.ID).Status}; !slices.Equal(got, []queue.Status{queue.StatusReady, queue.StatusCancelled}) {
		t.Errorf("after the retry: %v", got)
	}
	sys.shutdown()
}

// A count is asked for by a request that must change nothing, such as a GET.
func TestACountChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := newSystem(t, setup{exec: queue.ExecutorConfig{Lease: time.Minute}},
			queue.NewTask("t", func(context.Context, any) (any, error) { return nil, queue.Discard(errors.New("no")) }))
		failed := sys.enqueue("t", nil, queue.Unique("k"))
		sys.run(failed)
		over := sys.enqueue("t", nil, queue.Unique("k"), queue.ExpiresIn(time.Minute))
		lost := sys.enqueue("t", nil)
		if _, err := sys.store.Claim(t.Context(), lost, queue.ClaimRequest{Tasks: []string{"t"}, ClaimID: queue.NewClaimID(), Worker: "w", Lease: time.Minute}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		for _, s := range []queue.Selection{{}, {Task: "no.such"}, {Text: "no such"}, {IDs: []uuid.UUID{failed}}} {
			for _, action := range []queue.Action{queue.ActionRun, queue.ActionRetry, queue.ActionRequeue, queue.ActionCancel, queue.ActionDelete} {
				if _, err := sys.client.CountMatching(t.Context(), action, s, 10); err != nil {
					t.Errorf("%s %+v: %v", action, s, err)
				}
			}
		}
		if got := []queue.Status{sys.row(failed).Status, sys.row(over).Status, sys.row(lost).Status}; !slices.Equal(got, []queue.Status{queue.StatusFailed, queue.StatusReady, queue.StatusRunning}) {
			t.Errorf("after the counts: %v", got)
		}
		sys.shutdown()
	})
}

func TestActCountsWhatItSkipsForItsKey(t *testing.T) {
	sys := newSystem(t, setup{}, queue.NewTask("t", func(_ context.Context, fail bool) (any, error) {
		if fail {
			return nil, queue.Discard(errors.New("no"))
		}
		return nil, nil
	}))
	var failed []uuid.UUID
	for range 3 {
		id := sys.enqueue("t", true, queue.Unique("k"))
		sys.run(id)
		failed = append(failed, id)
	}
	plain := sys.enqueue("t", true)
	sys.run(plain)
	acted, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRetry, Selection: queue.Selection{IDs: append(failed, plain)}, Actor: "ann"}, nil)
	if err != nil || acted != (queue.ActionResult{Done: 2, Taken: 2}) {
		t.Errorf("%+v, %v", acted, err)
	}
	var refused *queue.NotClaimedError
	for _, id := range failed {
		if sys.row(id).Status != queue.StatusFailed {
			continue
		}
		_, err := sys.exec.RunByID(t.Context(), id, queue.RunOptions{AllowRetry: true})
		if !errors.Is(err, queue.ErrDuplicate) || !errors.As(err, &refused) || !strings.Contains(err.Error(), "task "+refused.Holder.ID.String()+", which is READY, holds the unique_key of this task") {
			t.Errorf("run again: %v", err)
		}
	}
	if refused == nil {
		t.Error("all were retried")
	}
}

func TestErrConflictIsContended(t *testing.T) {
	if !errors.Is(queue.ErrConflict, queue.ErrContended) || !errors.Is(queue.ErrConflict, queue.ErrUnavailable) || queue.UnavailableReason(queue.ErrConflict) != queue.ErrConflict {
		t.Error("ErrConflict must be ErrContended and ErrUnavailable")
	}
}
