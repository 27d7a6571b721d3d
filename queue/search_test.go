package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

type userArgs struct {
	UserID int    `json:"user_id"`
	Note   string `json:"note,omitempty"`
}

func byUser(id string) queue.Selection {
	return queue.Selection{View: queue.ViewFailed, Args: []queue.ArgFilter{{Path: "user_id", Value: id}}}
}

// failing are two tasks that fail, and one that gets their failures.
func failing() []queue.Definition {
	letters := queue.NewTaskFunc("letters", func(context.Context, queue.Failed) error { return nil })
	fails := func(context.Context, userArgs) error { return errors.New("no") }
	return []queue.Definition{
		letters, queue.NewTaskFunc("open", fails, queue.MaxAttempts(1)),
		queue.NewTaskFunc("billing", fails, queue.MaxAttempts(1), queue.OnFailed(letters)),
	}
}

func (s *system) failed(task string, args any) uuid.UUID {
	s.t.Helper()
	id := s.enqueue(task, args)
	s.run(id)
	return id
}

func TestActByContentsChangesWhatTheListShows(t *testing.T) {
	out := &recorder{}
	sys := newSystem(t, setup{dispatch: out}, failing()...)
	const matching = 450 // more than two batches
	var want, other []uuid.UUID
	for i := range matching {
		want = append(want, sys.failed("open", userArgs{UserID: 4711}))
		other = append(other, sys.failed("open", userArgs{UserID: i}))
	}
	slices.Reverse(want)
	var listed []uuid.UUID
	r := queue.ListRequest{Selection: byUser("4711"), Limit: 1000}
	page, err := sys.client.List(t.Context(), r)
	for _, row := range page.Rows {
		listed = append(listed, row.ID)
	}
	if err != nil || page.Next != "" || !slices.Equal(listed, want) {
		t.Fatalf("%d listed, next %q, %v", len(listed), page.Next, err)
	}
	if n, err := sys.client.CountMatching(t.Context(), queue.ActionRetry, byUser("4711"), 100_000); n != matching || err != nil {
		t.Fatalf("%d counted, %v", n, err)
	}
	out.tickets = nil
	acted, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRetry, Selection: byUser("4711"), Limit: 250}, nil)
	if err != nil || acted != (queue.ActionResult{Done: 250}) {
		t.Fatalf("%+v, %v", acted, err)
	}
	for i, id := range want { // the first ones of the list
		if got := sys.row(id).Status == queue.StatusReady; got != (i < 250) {
			t.Fatalf("the %d. row of the list: READY is %v", i, got)
		}
	}
	acted, err = sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRetry, Selection: byUser("4711")}, nil)
	if err != nil || acted.Done != matching-250 || len(out.sent()) != matching {
		t.Errorf("%+v, %v, %d tickets", acted, err, len(out.sent()))
	}
	for _, id := range other {
		if sys.row(id).Status != queue.StatusFailed {
			t.Errorf("a row that does not match is %s", sys.row(id).Status)
		}
	}
}

// Found rows of paused queues are skipped and counted, as those of other selections are.
func TestRunByContentsSkipsPausedQueues(t *testing.T) {
	sys := newSystem(t, setup{dispatch: &recorder{}}, failing()...)
	for _, name := range []string{"a", "b", "a"} {
		sys.enqueue("open", userArgs{UserID: 4711}, queue.OnQueue(name), queue.Delay(time.Hour))
	}
	if _, err := sys.client.PauseQueue(t.Context(), queue.GateRequest{Queue: "a", Actor: "ops"}, nil); err != nil {
		t.Fatal(err)
	}
	s := queue.Selection{Args: []queue.ArgFilter{{Path: "user_id", Value: "4711"}}}
	if n, err := sys.client.CountMatching(t.Context(), queue.ActionRun, s, 10); n != 1 || err != nil {
		t.Errorf("%d counted, %v", n, err)
	}
	acted, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRun, Selection: s}, nil)
	if err != nil || acted != (queue.ActionResult{Done: 1, Paused: 2, PausedQueues: "a"}) {
		t.Errorf("%+v, %v", acted, err)
	}
}

// What is hidden is not found, in no answer: neither lists nor counts nor actions tell it.
func TestHiddenContentsAreNotFound(t *testing.T) {
	sys := newSystem(t, setup{}, failing()...)
	open := sys.failed("open", userArgs{UserID: 4711, Note: "card 5555"})
	hidden := sys.failed("billing", userArgs{UserID: 4711, Note: "card 5555"})
	letters, err := sys.client.List(t.Context(), queue.ListRequest{Selection: queue.Selection{Task: "letters"}, Limit: 10, Values: 1000})
	if err != nil || len(letters.Rows) != 1 || !letters.Rows[0].ContentsHidden(func(task string) bool { return task == "billing" }) {
		t.Fatalf("%+v, %v", letters, err)
	}
	nested, _ := json.Marshal(queue.Failed{Task: "letters", Args: letters.Rows[0].Args}) // it can be encoded
	sys.enqueue("letters", json.RawMessage(nested))
	for _, s := range []queue.Selection{
		{Args: []queue.ArgFilter{{Path: "user_id", Value: "4711"}}}, {Text: "CARD 5555"},
		{Args: []queue.ArgFilter{{Path: "args.user_id", Value: "4711"}}}, {Args: []queue.ArgFilter{{Path: "args.args.user_id", Value: "4711"}}},
	} {
		s.Hidden = func(task string) bool { return task == "billing" }
		page, err := sys.client.List(t.Context(), queue.ListRequest{Selection: s, Limit: 10})
		for _, row := range page.Rows {
			if row.ID != open {
				t.Errorf("%v %q: found %s", s.Args, s.Text, row.Task)
			}
		}
		counted, countErr := sys.client.Count(t.Context(), queue.CountRequest{Action: queue.ActionDelete, Selection: s, Limit: 10})
		if err != nil || countErr != nil || counted.Count != len(page.Rows) {
			t.Errorf("%v %q: %+v, %v, %v", s.Args, s.Text, counted, err, countErr)
		}
		s.View = queue.ViewFailed
		acted, err := sys.client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRetry, Selection: s, Limit: 1}, nil)
		if err != nil || acted.Locked+acted.Taken+acted.Dropped != 0 {
			t.Errorf("%+v, %v", acted, err)
		}
	}
	if sys.row(hidden).Status != queue.StatusFailed || sys.row(open).Status != queue.StatusReady {
		t.Errorf("hidden %s, open %s", sys.row(hidden).Status, sys.row(open).Status)
	}
}

// slowLists does not answer in time for more than so many rows.
type slowLists struct {
	fullStore
	rows    int
	windows []int
}

func (s *slowLists) List(ctx context.Context, r queue.ListRequest) (queue.ListPage, error) {
	s.windows = append(s.windows, r.Window)
	if r.Window > s.rows {
		<-ctx.Done()
		return queue.ListPage{}, fmt.Errorf("list tasks: %w", ctx.Err())
	}
	return s.fullStore.List(ctx, r)
}

func TestASearchNarrowsItsWindow(t *testing.T) {
	slow := &slowLists{fullStore: newStore(t), rows: 250}
	sys := newSystem(t, setup{store: slow}, failing()...)
	var first uuid.UUID
	for i := range 300 {
		if id := sys.enqueue("open", userArgs{UserID: i}); i == 0 {
			first = id
		}
	}
	page, err := sys.client.List(t.Context(), queue.ListRequest{Selection: queue.Selection{Args: []queue.ArgFilter{{Path: "user_id", Value: "0"}}}, Limit: 1, Budget: 5 * time.Second})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].ID != first {
		t.Errorf("%+v, %v, windows %v", page, err, slow.windows)
	}
}

func TestASearchGivesUpAndGoesOn(t *testing.T) {
	sys := newSystem(t, setup{}, failing()...)
	var want []uuid.UUID
	for i := range 100 {
		if id := sys.enqueue("open", userArgs{UserID: i % 25}); i%25 == 0 {
			want = append([]uuid.UUID{id}, want...)
		}
	}
	r := queue.ListRequest{Selection: queue.Selection{Args: []queue.ArgFilter{{Path: "user_id", Value: "0"}}}, Limit: 3, Window: 10, Budget: time.Nanosecond}
	var got []uuid.UUID
	partial := 0
	for {
		page, err := sys.client.List(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range page.Rows {
			got = append(got, row.ID)
		}
		if page.Partial {
			if partial++; page.Searched != 10 || page.Next == "" {
				t.Fatalf("%+v", page)
			}
		}
		if r.After = page.Next; r.After == "" {
			break
		}
	}
	if !slices.Equal(got, want) || partial != 10 {
		t.Errorf("found %d of %d rows, %d pages were partial", len(got), len(want), partial)
	}
	counted, err := sys.client.Count(t.Context(), queue.CountRequest{Action: queue.ActionCancel, Selection: r.Selection, Limit: 10, Budget: time.Nanosecond})
	if err != nil || counted.More {
		t.Errorf("%+v, %v: one window has all rows", counted, err)
	}
}

func TestIDPrefixes(t *testing.T) {
	for text, want := range map[string]string{
		"0190": "0190", "0190AAAA": "0190aaaa", "0190aaaa1": "0190aaaa-1", "0190aaaa-": "0190aaaa", "0190aaaa-1111-7": "0190aaaa-1111-7",
		"": "", "g": "", "0190-aaaa": "", "-": "", "0190aaaa-1111-7000-8000-000000000001": "", " 0190": "", "0190aaaa--": "",
	} {
		if got, ok := queue.IDPrefix(text); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
}

func TestSelectionsThatAreRefused(t *testing.T) {
	for _, s := range []queue.Selection{
		{IDPrefixes: []string{"x"}}, {IDPrefixes: []string{"0190AAAA"}}, {IDPrefixes: make([]string, 101)}, {Args: []queue.ArgFilter{{}}},
		{Args: make([]queue.ArgFilter, 21)}, {Text: string(make([]byte, 1001))},
	} {
		if err := s.Check(); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
