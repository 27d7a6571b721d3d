package queue_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// grouped is a system with tasks for the members and the ends of groups.
type grouped struct {
	*system
	out  *recorder
	ends []string // what has run at the end of groups
}

// member fails if its argument is "fail", and cancels itself if it is "cancel".
func member(_ context.Context, in string) (string, error) {
	switch in {
	case "fail":
		return "", queue.Discard(errors.New("no"))
	case "cancel":
		return "", queue.Cancel(errors.New("no more"))
	}
	return in, nil
}

func newGrouped(t *testing.T, s setup) *grouped {
	g := &grouped{out: &recorder{}}
	end := func(name string) queue.Definition {
		return queue.NewTaskFunc(name, func(ctx context.Context, in string) error {
			info, _ := queue.InfoFrom(ctx)
			g.ends = append(g.ends, fmt.Sprintf("%s %s %s", name, in, info.Group))
			return nil
		}, queue.OnQueue("ends"), queue.UniqueArgs(), queue.ExpiresIn(time.Hour))
	}
	if s.dispatch == nil {
		s.dispatch = g.out
	}
	g.system = newSystem(t, s, queue.NewTask("member", member, queue.MaxAttempts(2)), end("yes"), end("no"))
	return g
}

func (g *grouped) spec() queue.GroupSpec {
	return queue.GroupSpec{Name: "g", OnSuccess: &queue.Request{Task: "yes", Args: "a"}, OnFailure: &queue.Request{Task: "no", Args: "b"}}
}

// create creates a group with members, which have these arguments, and closes it.
func (g *grouped) create(members ...string) (*queue.Group, []uuid.UUID) {
	g.t.Helper()
	group, err := g.client.EnqueueGroup(g.t.Context(), g.spec(), requests(members...))
	if err != nil {
		g.t.Fatal(err)
	}
	ids, err := g.client.GroupMembers(g.t.Context(), queue.MembersRequest{Group: group.ID, Limit: 1000})
	if err != nil || len(ids) != len(members) {
		g.t.Fatalf("%d members, %v", len(ids), err)
	}
	return group, ids
}

func requests(args ...string) iter.Seq2[queue.Request, error] {
	return func(yield func(queue.Request, error) bool) {
		for _, in := range args {
			if !yield(queue.Request{Task: "member", Args: in}, nil) {
				return
			}
		}
	}
}

// ended checks which ends of groups were dispatched, and runs them.
func (g *grouped) ended(what string, group uuid.UUID, want ...string) {
	g.t.Helper()
	var got []string
	for _, ticket := range g.out.sent() {
		row, err := g.client.Get(g.t.Context(), ticket.ID)
		if err == nil && row.Completes == group && row.Status == queue.StatusReady {
			got = append(got, row.Task)
			g.run(row.ID)
		}
	}
	if !slices.Equal(got, want) {
		g.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (g *grouped) group(id uuid.UUID) *queue.Group {
	g.t.Helper()
	group, err := g.client.Group(g.t.Context(), id)
	if err != nil {
		g.t.Fatal(err)
	}
	return group
}

func TestTheLastMemberEnqueuesTheSuccessOfItsGroup(t *testing.T) {
	g := newGrouped(t, setup{})
	group, ids := g.create("x", "y", "z")
	if group.State() != queue.GroupRunning || group.Ready != 3 || group.Name != "g" {
		t.Errorf("%+v", group)
	}
	for _, id := range ids {
		g.ended("before the last one", group.ID)
		g.run(id)
	}
	g.ended("after it", group.ID, "yes")
	if want := []string{"yes a " + group.ID.String()}; !slices.Equal(g.ends, want) {
		t.Errorf("ran %v, want %v", g.ends, want)
	}
	if now := g.group(group.ID); now.State() != queue.GroupSucceeded || now.Successful != 3 || now.SucceededAt.IsZero() {
		t.Errorf("%+v", now)
	}
}

func TestAnEmptyGroupSucceedsWhenItIsClosed(t *testing.T) {
	g := newGrouped(t, setup{})
	group, err := g.client.CreateGroup(t.Context(), g.spec())
	if err != nil {
		t.Fatal(err)
	}
	g.ended("open", group.ID)
	if err := group.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.ended("closed", group.ID, "yes")
}

func TestAFailureIsEnqueuedOnceAndASuccessMayFollow(t *testing.T) {
	g := newGrouped(t, setup{})
	group, ids := g.create("fail", "fail", "x")
	g.run(ids[0])
	g.ended("the first failure", group.ID, "no")
	g.run(ids[1])
	g.run(ids[2])
	g.ended("the second", group.ID)
	if now := g.group(group.ID); now.State() != queue.GroupFailed || now.Failed != 2 {
		t.Errorf("%+v", now)
	}
	for _, id := range ids[:2] { // as an operator who has repaired what was wrong
		row, err := g.store.Claim(t.Context(), id, queue.ClaimRequest{Tasks: []string{"member"}, Worker: "w", Lease: time.Minute, ClaimID: queue.NewClaimID(), AllowRetry: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.store.Finish(t.Context(), row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.client.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	g.ended("all have succeeded", group.ID, "yes")
}

// Every way to end a member without success enqueues the failure at once.
func TestEveryDoorEnqueuesTheFailureOfTheGroup(t *testing.T) {
	lose := func(g *grouped, id uuid.UUID) {
		for range 2 {
			if _, err := g.store.Claim(g.t.Context(), id, queue.ClaimRequest{Tasks: []string{"member"}, Worker: "gone", Lease: time.Second, ClaimID: queue.NewClaimID()}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
	}
	for name, end := range map[string]func(g *grouped, id uuid.UUID) error{
		"the function cancels itself": func(g *grouped, id uuid.UUID) error {
			g.run(g.enqueue("member", "cancel", queue.InGroup(g.row(id).Group)))
			return nil
		},
		"Cancel": func(g *grouped, id uuid.UUID) error { _, _, err := g.client.Cancel(g.t.Context(), id); return err },
		"Delete": func(g *grouped, id uuid.UUID) error {
			_, _, err := g.client.Delete(g.t.Context(), id, "ops")
			return err
		},
		"Act": func(g *grouped, id uuid.UUID) error {
			_, err := g.client.Act(g.t.Context(), queue.ActRequest{Action: queue.ActionCancel, Selection: queue.Selection{Task: "member"}}, nil)
			return err
		},
		"CancelGroup": func(g *grouped, id uuid.UUID) error {
			done, err := g.client.CancelGroup(g.t.Context(), g.row(id).Group, "ops", nil)
			if done.Done != 1 {
				t.Errorf("%+v", done)
			}
			return err
		},
		"a delivery after the last lease": func(g *grouped, id uuid.UUID) error {
			lose(g, id)
			if _, err := g.exec.RunByID(g.t.Context(), id, queue.RunOptions{}); !errors.Is(err, queue.ErrWorkerLost) {
				return err
			}
			return nil
		},
		"a sweep after the last lease": func(g *grouped, id uuid.UUID) error {
			lose(g, id)
			_, err := g.client.Sweep(g.t.Context(), 0)
			return err
		},
		"Requeue": func(g *grouped, id uuid.UUID) error {
			lose(g, id)
			_, err := g.client.Requeue(g.t.Context(), queue.RequeueRequest{MarkFailed: true})
			return err
		},
		"a delivery after it has expired": func(g *grouped, id uuid.UUID) error {
			late := g.enqueue("member", "x", queue.InGroup(g.row(id).Group), queue.ExpiresIn(time.Second))
			time.Sleep(time.Second)
			if _, err := g.exec.RunByID(g.t.Context(), late, queue.RunOptions{}); !errors.Is(err, queue.ErrExpired) {
				return err
			}
			return nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newGrouped(t, setup{})
			group, err := g.client.CreateGroup(t.Context(), g.spec())
			if err != nil {
				t.Fatal(err)
			}
			id := g.enqueue("member", "x", queue.InGroup(group.ID))
			g.ended(name+", before", group.ID)
			if err := end(g, id); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			g.ended(name, group.ID, "no")
		})
	}
}

func TestAGroupWhoseProcessDiedIsCompletedByTheNext(t *testing.T) {
	for name, continues := range map[string]func(g *grouped) error{
		"Sweep": func(g *grouped) error { _, err := g.client.Sweep(t.Context(), 0); return err },
		"Work":  func(g *grouped) error { _, err := g.exec.Work(t.Context(), queue.WorkConfig{}); return err },
	} {
		g := newGrouped(t, setup{})
		group, ids := g.create("x")
		row, err := g.store.Claim(t.Context(), ids[0], queue.ClaimRequest{Tasks: []string{"member"}, Worker: "dies", Lease: time.Minute, ClaimID: queue.NewClaimID()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.store.Finish(t.Context(), row.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
			t.Fatal(err)
		}
		if err := continues(g); err != nil {
			t.Fatal(err)
		}
		if row, err := g.client.Get(t.Context(), queue.CompletionID(group.ID, true)); err != nil || name == "Work" && row.Status != queue.StatusSuccessful {
			t.Errorf("%s: %+v, %v", name, row, err)
		}
	}
}

// waiting is a store in which the end of a group takes until another task has run.
type waiting struct {
	*sqlitestore.Store
	ran chan struct{}
}

func (s waiting) CompleteGroup(ctx context.Context, id uuid.UUID, prepare func(*queue.NewRow)) ([]*queue.NewRow, error) {
	select {
	case <-s.ran:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.Store.CompleteGroup(ctx, id, prepare)
}

// However long the ends of groups take that a promotion finds, other tasks run meanwhile.
func TestAPromotionDoesNotWaitForTheEndsOfGroups(t *testing.T) {
	for name, work := range map[string]func(*grouped) error{
		"Work":       func(g *grouped) error { _, err := g.exec.Work(t.Context(), queue.WorkConfig{}); return err },
		"ProcessOne": func(g *grouped) error { _, err := g.exec.Process(t.Context(), 10, queue.From{}); return err },
	} {
		store := waiting{newStore(t), make(chan struct{})}
		g := newGrouped(t, setup{store: store, client: queue.Config{Hooks: queue.Hooks{Finished: func(_ context.Context, run *queue.Run) {
			if run.Row.Task == "member" {
				close(store.ran)
			}
		}}}})
		group, err := g.client.CreateGroup(t.Context(), g.spec())
		if err != nil {
			t.Fatal(err)
		}
		if err := store.CloseGroup(t.Context(), nil, group.ID); err != nil { // its process dies then
			t.Fatal(err)
		}
		g.enqueue("member", "x")
		if err := work(g); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("yes a %s", group.ID); !slices.Equal(g.ends, []string{want}) {
			t.Errorf("%s: %v, want %s; %s", name, g.ends, want, g.log)
		}
	}
}

// maintained counts the upkeep of groups.
type maintained struct {
	*sqlitestore.Store
	after []uuid.UUID
}

func (s *maintained) MaintainGroups(ctx context.Context, after uuid.UUID, limit int) (uuid.UUID, error) {
	s.after = append(s.after, after)
	return s.Store.MaintainGroups(ctx, after, limit)
}

// The upkeep of groups may read all of their members: background sweeps do it seldom, also
// beside an executor, whose promotions never do.
func TestTheUpkeepOfGroupsIsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, local := &maintained{Store: newStore(t)}, queue.NewLocal()
		g := newGrouped(t, setup{store: store, dispatch: local})
		var last uuid.UUID
		for i := range 21 {
			spec := g.spec()
			spec.ID = uuid.UUID{15: byte(i + 1)}
			if _, err := g.client.CreateGroup(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			if i == 19 {
				last = spec.ID
			}
		}
		g.startLocal(local)
		time.Sleep(time.Second)
		if len(store.after) > 0 {
			t.Errorf("promotions did it: %v", store.after)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			g.client.SweepEvery(ctx, 30*time.Second)
		}()
		time.Sleep(9*time.Minute + time.Second)
		cancel()
		<-ended
		if want := []uuid.UUID{uuid.Nil, last, uuid.Nil, last}; !slices.Equal(store.after, want) {
			t.Errorf("in nine minutes: %v, want %v", store.after, want)
		}
		store.after = nil
		if _, err := g.client.Sweep(t.Context(), 0); err != nil || len(store.after) != 2 {
			t.Errorf("a sweep that was asked for: %v, %v", store.after, err)
		}
	})
}

// Groups that cannot be completed do not keep others from it, however many they are.
func TestGroupsThatCannotBeCompletedDoNotStarveOthers(t *testing.T) {
	g := newGrouped(t, setup{})
	spec := g.spec()
	for i := range 101 {
		spec.ID = uuid.UUID{0: 1, 15: byte(i)}
		if i == 100 {
			spec.ID = uuid.UUID{0: 2}
		} else if _, err := g.client.Enqueue(t.Context(), "member", "x", queue.WithID(queue.CompletionID(spec.ID, true))); err != nil {
			t.Fatal(err)
		}
		if _, err := g.client.CreateGroup(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if err := g.store.(queue.Grouper).CloseGroup(t.Context(), nil, spec.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.client.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	g.ended("swept", spec.ID, "yes")
}

// A worker that ends when nothing is due also runs what the ends of groups enqueue.
func TestAWorkerRunsTheEndOfAGroup(t *testing.T) {
	g := newGrouped(t, setup{exec: queue.ExecutorConfig{Concurrency: 20}})
	group, _ := g.create(slices.Repeat([]string{"x"}, 300)...)
	result, err := g.exec.Work(t.Context(), queue.WorkConfig{})
	if err != nil || result.Runs != 301 || len(g.ends) != 1 {
		t.Errorf("%+v, %v, %v", result, g.ends, err)
	}
	if now := g.group(group.ID); now.Successful != 300 {
		t.Errorf("%+v", now)
	}
}

func TestALocalRunsTheEndOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := queue.NewLocal()
		g := newGrouped(t, setup{dispatch: local})
		g.startLocal(local)
		group, _ := g.create("x", "y", "fail")
		for g.group(group.ID).FailedAt.IsZero() {
			time.Sleep(time.Millisecond)
		}
		if _, err := g.client.Wait(t.Context(), queue.CompletionID(group.ID, false)); err != nil {
			t.Error(err)
		}
	})
}

func TestAStreamThatFailsLeavesAnOpenGroup(t *testing.T) {
	g := newGrouped(t, setup{})
	spec := g.spec()
	spec.ID = uuid.New()
	all := slices.Repeat([]string{"x"}, 2500)
	broken := errors.New("the source is gone")
	group, err := g.client.EnqueueGroup(t.Context(), spec, func(yield func(queue.Request, error) bool) {
		for r, err := range requests(all[:1700]...) {
			if !yield(r, err) {
				return
			}
		}
		yield(queue.Request{}, broken)
	})
	if !errors.Is(err, broken) || group.State() != queue.GroupOpen || group.Total != 1000 {
		t.Fatalf("%+v, %v", group, err)
	}
	_, err = g.client.EnqueueGroup(t.Context(), spec, func(yield func(queue.Request, error) bool) {
		yield(queue.Request{Task: "unknown"}, nil)
	})
	if !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "group "+spec.ID.String()+" is not closed") {
		t.Errorf("%v", err)
	}
	for range 2 { // and its answer was lost
		group, err = g.client.EnqueueGroup(t.Context(), spec, requests(all...))
		if err != nil || !group.Existed || group.State() != queue.GroupRunning || group.Total != 2500 {
			t.Fatalf("repeated: %+v, %v", group, err)
		}
	}
	_, err = g.client.EnqueueGroup(t.Context(), g.spec(), requests(slices.Repeat([]string{"x"}, queue.MaxGroup+1)...))
	if !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("too many: %v", err)
	}
}

// A repeated stream stores nothing that has succeeded, whether its row was purged or not, and
// one of a closed group is not read.
func TestARepeatedStreamRunsNothingAgain(t *testing.T) {
	g := newGrouped(t, setup{})
	spec := g.spec()
	spec.ID = uuid.New()
	if _, err := g.client.CreateGroup(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	ids := []uuid.UUID{uuid.NewSHA1(spec.ID, make([]byte, 8)), uuid.New(), uuid.New()} // the first has the ID of its position
	for _, id := range ids[:2] {
		if _, err := g.client.Enqueue(t.Context(), "member", "x", queue.WithID(id), queue.InGroup(spec.ID)); err != nil {
			t.Fatal(err)
		}
		g.run(id)
	}
	purge := func() {
		t.Helper()
		if n, _, err := g.client.Purge(t.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusSuccessful}, Task: "member"}, nil); err != nil || n == 0 {
			t.Fatalf("purged %d, %v", n, err)
		}
	}
	purge()
	stream := func(yield func(queue.Request, error) bool) {
		_ = yield(queue.Request{Task: "member", Args: "x"}, nil) &&
			yield(queue.Request{Task: "member", Args: "x", Options: []queue.Option{queue.WithID(ids[1])}}, nil) &&
			yield(queue.Request{Task: "member", Args: "x", Options: []queue.Option{queue.WithID(ids[2])}}, nil)
	}
	group, err := g.client.EnqueueGroup(t.Context(), spec, stream)
	if want := (queue.GroupCounts{Total: 3, Ready: 1, Successful: 2}); err != nil || group.GroupCounts != want {
		t.Fatalf("%+v, %v", group, err)
	}
	for _, id := range ids[:2] {
		if _, err := g.client.Get(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("it was stored again: %v", err)
		}
	}
	g.run(ids[2])
	purge()
	group, err = g.client.EnqueueGroup(t.Context(), spec, func(func(queue.Request, error) bool) { t.Error("the stream was read") })
	if err != nil || !group.Existed || group.State() != queue.GroupSucceeded || group.Total != 3 {
		t.Errorf("%+v, %v", group, err)
	}
	g.ended("once", spec.ID, "yes")
}

// purging is a store whose members end and are purged right after the first look at them.
type purging struct {
	*sqlitestore.Store
	looked func()
}

func (s *purging) GroupMembers(ctx context.Context, r queue.MembersRequest) ([]uuid.UUID, error) {
	ids, err := s.Store.GroupMembers(ctx, r)
	if looked := s.looked; looked != nil {
		s.looked = nil
		looked()
	}
	return ids, err
}

func TestARepeatedStreamRunsNothingAgainThatIsPurgedMeanwhile(t *testing.T) {
	for _, creator := range []bool{false, true} { // whether the call has created the group
		store := &purging{Store: newStore(t)}
		g := newGrouped(t, setup{store: store})
		spec := g.spec()
		spec.ID = uuid.New()
		first := uuid.NewSHA1(spec.ID, make([]byte, 8))
		add := func() {
			if _, err := g.client.Enqueue(t.Context(), "member", "x", queue.WithID(first), queue.InGroup(spec.ID)); err != nil {
				t.Fatal(err)
			}
		}
		runs := 0
		ends := func() {
			g.run(first)
			runs++
			if n, _, err := g.client.Purge(t.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusSuccessful}}, nil); n != 1 || err != nil {
				t.Fatalf("purged %d, %v", n, err)
			}
		}
		if !creator {
			if _, err := g.client.CreateGroup(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
			add()
			store.looked = ends
		}
		group, err := g.client.EnqueueGroup(t.Context(), spec, func(yield func(queue.Request, error) bool) {
			if creator { // another call has stored the same task
				add()
				ends()
			}
			for r, err := range requests("x", "y") {
				if !yield(r, err) {
					return
				}
			}
		})
		if want := (queue.GroupCounts{Total: 2, Ready: 1, Successful: 1}); err != nil || runs != 1 || group.GroupCounts != want {
			t.Errorf("creator %v: %+v, ran %d times, %v", creator, group, runs, err)
		}
		if _, err := g.client.Get(t.Context(), first); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("creator %v: it was stored again: %v", creator, err)
		}
	}
}

func TestAGroupThatIsClosedWhileItsStreamIsReadIsNotSaidToBeOpen(t *testing.T) {
	g := newGrouped(t, setup{})
	spec := g.spec()
	spec.ID = uuid.New()
	group, err := g.client.EnqueueGroup(t.Context(), spec, func(yield func(queue.Request, error) bool) {
		if _, err := g.client.CloseGroup(t.Context(), spec.ID); err != nil {
			t.Error(err)
		}
		yield(queue.Request{Task: "member", Args: "x"}, nil)
	})
	if !errors.Is(err, queue.ErrGroupClosed) || strings.Contains(err.Error(), "not closed") || group.ClosedAt.IsZero() {
		t.Errorf("%+v, %v", group, err)
	}
}

func TestTypedGroups(t *testing.T) {
	g := newGrouped(t, setup{})
	task := queue.Declare[string, string]("member")
	group, err := task.EnqueueGroup(t.Context(), g.client, queue.GroupSpec{OnSuccess: new(task.Request("x", queue.Priority(7)))}, slices.Values([]string{"a", "b"}), queue.OnQueue("q"))
	if err != nil || group.Total != 2 {
		t.Fatalf("%+v, %v", group, err)
	}
	if _, err := g.exec.Work(t.Context(), queue.WorkConfig{}); err != nil {
		t.Fatal(err)
	}
	if end := g.row(queue.CompletionID(group.ID, true)); end.Priority != 7 || string(end.Args) != `"x"` || end.Status != queue.StatusSuccessful {
		t.Errorf("%+v", end)
	}
}

func TestGroupsRefuse(t *testing.T) {
	g := newGrouped(t, setup{})
	group, _ := g.create("x")
	for name, c := range map[string]struct {
		spec queue.GroupSpec
		want string
	}{
		"a long name":     {queue.GroupSpec{Name: strings.Repeat("x", 201)}, "name: use up to 200 bytes"},
		"an unknown task": {queue.GroupSpec{OnFailure: &queue.Request{Task: "other"}}, `on_failure: `},
		"wrong arguments": {queue.GroupSpec{OnSuccess: &queue.Request{Task: "yes", Args: 7}}, "on_success: args"},
		"an ID":           {queue.GroupSpec{OnSuccess: &queue.Request{Task: "yes", Args: "a", Options: []queue.Option{queue.WithID(uuid.New())}}}, "leave out WithID"},
		"a delay":         {queue.GroupSpec{OnSuccess: &queue.Request{Task: "yes", Args: "a", Options: []queue.Option{queue.Delay(time.Hour)}}}, "runs at once and once"},
		"a group":         {queue.GroupSpec{OnSuccess: &queue.Request{Task: "yes", Args: "a", Options: []queue.Option{queue.InGroup(group.ID)}}}, "and InGroup"},
	} {
		if _, err := g.client.CreateGroup(t.Context(), c.spec); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	spec := g.spec()
	spec.ID = group.ID
	if again, err := g.client.CreateGroup(t.Context(), spec); err != nil || !again.Existed {
		t.Errorf("again: %+v, %v", again, err)
	}
	spec.OnFailure.Args = "other"
	if _, err := g.client.CreateGroup(t.Context(), spec); !errors.Is(err, queue.ErrGroupExists) {
		t.Errorf("with other arguments: %v", err)
	}
	for want, id := range map[error]uuid.UUID{queue.ErrGroupClosed: group.ID, queue.ErrGroupNotFound: uuid.New(), queue.ErrInvalid: uuid.Nil} {
		if _, err := g.client.Enqueue(t.Context(), "member", "x", queue.InGroup(id)); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if _, err := g.client.CloseGroup(t.Context(), uuid.New()); !errors.Is(err, queue.ErrGroupNotFound) {
		t.Errorf("close: %v", err)
	}
	if _, err := g.client.CancelGroup(t.Context(), uuid.New(), "", nil); !errors.Is(err, queue.ErrGroupNotFound) {
		t.Errorf("cancel: %v", err)
	}
	if err := new(queue.Group).Close(t.Context()); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("close of no group: %v", err)
	}
}

// plainStore is a store without the optional interfaces.
type plainStore struct{ queue.Store }

func TestAStoreWithoutGroups(t *testing.T) {
	sys := newSystem(t, setup{store: plainStore{newStore(t)}}, queue.NewTask("t", nothing))
	if _, err := sys.client.CreateGroup(t.Context(), queue.GroupSpec{}); !errors.Is(err, queue.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	if _, err := sys.client.Enqueue(t.Context(), "t", nil, queue.InGroup(uuid.New())); !errors.Is(err, queue.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	sys.run(sys.enqueue("t", nil))
	sys.sweep(0, queue.SweepResult{})
}

// A group that is created, filled and closed in a transaction is complete after the commit.
func TestAGroupInATransaction(t *testing.T) {
	l := newLedger(t, setup{dispatch: &recorder{}}, queue.NewTask("member", member))
	var id uuid.UUID
	for _, fails := range []error{errors.New("rolled back"), nil} {
		tx := l.begin()
		err := l.client.InTx(t.Context(), sqlitestore.Tx(tx), func(q queue.Tx) error {
			group, err := l.client.CreateGroupTx(t.Context(), q, queue.GroupSpec{OnSuccess: &queue.Request{Task: "member", Args: "end"}})
			if err != nil {
				return err
			}
			id = group.ID
			if _, err := l.client.EnqueueTx(t.Context(), q, "member", "x", queue.InGroup(id)); err != nil {
				return err
			}
			return errors.Join(l.client.CloseGroupTx(t.Context(), q, id), fails)
		})
		if !errors.Is(err, fails) {
			t.Fatal(err)
		}
		if _, err := l.client.Group(t.Context(), id); errors.Is(err, queue.ErrGroupNotFound) != (fails != nil) {
			t.Errorf("%v", err)
		}
	}
	if result, err := l.exec.Work(t.Context(), queue.WorkConfig{}); err != nil || result.Runs != 2 {
		t.Errorf("%+v, %v", result, err)
	}
}

// CompleteTx of a member counts with the commit.
func TestCompleteTxEndsAMember(t *testing.T) {
	var l *ledger
	task := queue.NewTask("pays", func(ctx context.Context, _ string) (string, error) {
		tx := l.begin()
		defer func() { _ = tx.Rollback() }()
		if err := queue.CompleteTx(ctx, sqlitestore.Tx(tx), "paid"); err != nil {
			return "", err
		}
		return "paid", tx.Commit()
	})
	l = newLedger(t, setup{dispatch: &recorder{}}, task, queue.NewTask("end", echo))
	group, err := task.EnqueueGroup(t.Context(), l.client, queue.GroupSpec{OnSuccess: &queue.Request{Task: "end", Args: "x"}}, slices.Values([]string{"a"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.exec.Work(t.Context(), queue.WorkConfig{}); err != nil {
		t.Fatal(err)
	}
	if end := l.row(queue.CompletionID(group.ID, true)); end.Status != queue.StatusSuccessful {
		t.Errorf("%+v", end)
	}
}

// A purge removes what is left of ended groups.
func TestAPurgeDeletesEndedGroups(t *testing.T) {
	g := newGrouped(t, setup{})
	group, ids := g.create("x")
	g.run(ids[0])
	g.ended("done", group.ID, "yes")
	all := queue.PurgeRequest{Statuses: []queue.Status{queue.StatusSuccessful}}
	some := all
	some.Task = "member"
	if n, _, err := g.client.Purge(t.Context(), some, nil); err != nil || n != 1 || g.group(group.ID).Successful != 1 {
		t.Errorf("purged %d, %v", n, err)
	}
	if n, _, err := g.client.Purge(t.Context(), all, nil); err != nil || n != 1 {
		t.Errorf("purged %d, %v", n, err)
	}
	if _, err := g.client.Group(t.Context(), group.ID); !errors.Is(err, queue.ErrGroupNotFound) {
		t.Errorf("%v", err)
	}
}
