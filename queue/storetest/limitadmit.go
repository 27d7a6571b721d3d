package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// tickets is a Dispatcher that keeps what it gets.
type tickets struct {
	mu  sync.Mutex
	ids []uuid.UUID
}

func (d *tickets) Dispatch(_ context.Context, some ...queue.Ticket) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ticket := range some {
		d.ids = append(d.ids, ticket.ID)
	}
	return nil
}

// taken returns the tasks that have got tickets since the last call.
func (d *tickets) taken() []uuid.UUID {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := d.ids
	d.ids = nil
	return append([]uuid.UUID{}, ids...)
}

// pushing is a client of the fixture's store that dispatches to the tickets.
func (f *fixture) pushing() (*queue.Client, *tickets) {
	f.Helper()
	out := &tickets{}
	task := queue.NewTask(taskName, func(context.Context, any) (any, error) { return nil, nil })
	client, err := queue.NewClient(queue.Config{Store: f.store, Registry: queue.NewRegistry(task), Dispatcher: out})
	f.must(err)
	return client, out
}

// waitForSlots runs one row of a queue with a limit of one, and makes n others wait.
func (f *fixture) waitForSlots(n int, changes ...func(*queue.Limit)) (running *queue.Row, waiting []*queue.Row) {
	f.Helper()
	limit := queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1}
	for _, change := range changes {
		change(&limit)
	}
	f.limit(limit)
	running = f.claimed(lease, onQueue("emails"))
	waiting = f.insertMany(n, onQueue("emails"), armed)
	for _, row := range waiting {
		f.refusedLimited(row.ID, false)
	}
	return running, waiting
}

// refusedFor starts one task of a rate of one an hour, has n rows of it refused, and
// returns how long the longest of them waits, and the time after which all may have started.
func (f *fixture) refusedFor(n int, changes ...func(*queue.NewRow)) (longest, all time.Duration) {
	f.Helper()
	f.finish(f.claimed(lease, changes...).Claim())
	for _, row := range f.insertMany(n, changes...) {
		refused := f.refused(row.ID, queue.ErrLimited)
		longest = max(longest, refused.Wait)
	}
	return longest, time.Duration(n+1) * time.Hour
}

// limitAdmitTests are about what lets the next rows start that wait for a limit, where
// rows are dispatched.
var limitAdmitTests = map[string]func(*fixture){
	"rows that wait for one limit do not delay those that wait for a rate": func(f *fixture) {
		f.waitForSlots(60)
		for _, l := range []queue.Limit{{Kind: queue.LimitQueue, Name: "slow"}, {Kind: queue.LimitName, Name: "key"}, {Kind: queue.LimitEach, Name: taskName}} {
			l.Starts, l.Per = 1, time.Hour
			f.limit(l)
		}
		for what, change := range map[string]func(*queue.NewRow){"of a queue": onQueue("slow"), "of a key": limitKey("key"), "of another key": limitKey("a|b")} {
			if longest, all := f.refusedFor(4, change); longest > all {
				f.Errorf("%s: a row waits %s, want at most %s", what, longest, all)
			}
		}
		for what, change := range map[string]func(*queue.NewRow){"of many of a queue": onQueue("slow"), "of many of a key": limitKey("c")} {
			for _, row := range f.insertMany(40, change) {
				if _, err := f.store.Claim(f.ctx, row.ID, claimRequest(lease)); err != nil && !errors.Is(err, queue.ErrLimited) {
					f.Fatal(err)
				}
			}
			longest := time.Duration(0)
			for _, row := range f.insertMany(10, change) {
				refused := f.refused(row.ID, queue.ErrLimited)
				longest = max(longest, refused.Wait)
			}
			f.between(what, longest, 4*time.Hour, 60*time.Hour)
		}
	},
	"a row that waits for a rate keeps the time of its ticket": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Starts: 1, Per: time.Hour})
		f.finish(f.claimed(lease).Claim())
		row := f.insert()
		keep := func(ticket time.Time) func(*queue.ClaimRequest) {
			return func(r *queue.ClaimRequest) { r.TicketKnown, r.Ticket = true, ticket }
		}
		first := f.refused(row.ID, queue.ErrLimited, keep(time.Time{}))
		due := first.Row.DispatchDueAt
		for range 3 {
			again := f.refused(row.ID, queue.ErrLimited, keep(due.Add(-time.Hour)))
			f.equal("by another ticket", again.Row.DispatchDueAt, due)
			f.between("its wait", again.Wait, first.Wait-time.Minute, first.Wait)
		}
		f.equal("by a request without a ticket", f.refused(row.ID, queue.ErrLimited).Row.DispatchDueAt, due)
		for what, by := range map[string]func(*queue.ClaimRequest){
			"by that ticket":       func(r *queue.ClaimRequest) { r.TicketKnown, r.Ticket = true, due },
			"by what may be it":    func(r *queue.ClaimRequest) { r.Early = 3 * time.Hour },
			"by that ticket again": func(r *queue.ClaimRequest) { r.TicketKnown, r.Ticket = true, due },
		} {
			again := f.refused(row.ID, queue.ErrLimited, by)
			if again.Row.DispatchDueAt.Equal(due) {
				f.Errorf("%s: the row keeps its time", what)
			}
			f.between(what, again.Row.DispatchDueAt.Sub(f.now())-queue.DispatchGrace, again.Wait-time.Minute, again.Wait)
			due = again.Row.DispatchDueAt
		}
	},
	"the only row that waits for a rate has a ticket for the next start": func(f *fixture) {
		f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Starts: 1, Per: time.Hour})
		f.finish(f.claimed(lease).Claim())
		row := f.insert()
		for range 4 {
			refused := f.refused(row.ID, queue.ErrLimited, func(r *queue.ClaimRequest) { r.Early = 3 * time.Hour })
			f.between("its wait", refused.Wait, 59*time.Minute, time.Hour+time.Second)
		}
	},
	"a row that only a rate keeps from starting when another one has ended gets a ticket": func(f *fixture) {
		running, waiting := f.waitForSlots(2, func(l *queue.Limit) { l.Starts, l.Per = 1, time.Hour })
		f.equal("while it runs", ids(f.admit(running, 2)), []uuid.UUID{})
		f.finish(running.Claim())
		f.equal("after its end", ids(f.admit(running, 2)), ids(waiting[:1]))
		f.refusedLimited(waiting[0].ID, true)
		f.equal("while it expects its ticket", ids(f.admit(nil, 2)), ids(waiting[1:]))
		f.equal("at last", ids(f.admit(nil, 2)), []uuid.UUID{})
	},
	"a delivery that cancels an expired row lets the next one start": func(f *fixture) {
		client, out := f.pushing()
		executor, err := queue.NewExecutor(client, queue.ExecutorConfig{})
		f.must(err)
		running, waiting := f.waitForSlots(1)
		f.finish(running.Claim())
		expired := f.insert(onQueue("emails"), armed, past)
		if _, err := executor.RunByID(f.ctx, expired.ID, queue.RunOptions{}); !errors.Is(err, queue.ErrExpired) {
			f.Fatal(err)
		}
		f.equal("tickets", out.taken(), ids(waiting))
	},
	"a pause lets rows of other queues start in the place of one that was about to": func(f *fixture) {
		client, out := f.pushing()
		f.limit(queue.Limit{Kind: queue.LimitName, Name: taskName, Running: 1})
		running := f.claimed(lease)
		about, other := f.insert(onQueue("before"), armed), f.insert(armed)
		f.refusedLimited(about.ID, false)
		f.refusedLimited(other.ID, false)
		f.finish(running.Claim())
		f.equal("admitted", ids(f.admit(running, 1)), []uuid.UUID{about.ID})
		_, err := client.PauseQueue(f.ctx, queue.GateRequest{Queue: "before"}, nil)
		f.must(err)
		f.equal("tickets", out.taken(), []uuid.UUID{other.ID})
	},
	"a resume lets rows start that wait for a limit with room": func(f *fixture) {
		client, out := f.pushing()
		running, waiting := f.waitForSlots(2)
		f.pause("emails")
		f.finish(running.Claim())
		_, err := client.ResumeQueue(f.ctx, queue.GateRequest{Queue: "emails"}, nil)
		f.must(err)
		f.equal("tickets", out.taken(), []uuid.UUID{waiting[0].ID})
	},
	"a resume lets rows start whose limit was removed": func(f *fixture) {
		client, out := f.pushing()
		_, waiting := f.waitForSlots(2)
		f.pause("emails")
		_, err := client.SetLimit(f.ctx, queue.Limit{Kind: queue.LimitQueue, Name: "emails"}, "ann")
		f.must(err)
		f.equal("tickets of a paused queue", out.taken(), []uuid.UUID{})
		_, err = client.ResumeQueue(f.ctx, queue.GateRequest{Queue: "emails"}, nil)
		f.must(err)
		f.equal("tickets", sorted(out.taken()), sorted(ids(waiting)))
	},
	"a cancelled row that was about to start lets the next one start": func(f *fixture) {
		client, out := f.pushing()
		running, waiting := f.waitForSlots(2)
		f.finish(running.Claim())
		f.equal("admitted", ids(f.admit(running, 1)), ids(waiting[:1]))
		_, cancelled, err := client.Cancel(f.ctx, waiting[0].ID)
		f.must(err)
		f.equal("cancelled", cancelled, true)
		f.equal("tickets", out.taken(), ids(waiting[1:]))
	},
	"actions on rows that run or were about to start let the next ones start": func(f *fixture) {
		client, out := f.pushing()
		running, waiting := f.waitForSlots(4)
		act := func(action queue.Action, id uuid.UUID) {
			f.Helper()
			result, err := client.Act(f.ctx, queue.ActRequest{Action: action, Selection: queue.Selection{IDs: []uuid.UUID{id}}}, nil)
			f.must(err)
			f.equal("rows", result.Done, 1)
		}
		act(queue.ActionCancel, running.ID)
		f.equal("after a cancellation", out.taken(), ids(waiting[:1]))
		act(queue.ActionCancel, waiting[0].ID)
		f.equal("after that of a row about to start", out.taken(), ids(waiting[1:2]))
		act(queue.ActionDelete, waiting[1].ID)
		f.equal("after a deletion", out.taken(), ids(waiting[2:3]))
		_, deleted, err := client.Delete(f.ctx, waiting[2].ID, "ann")
		f.must(err)
		f.equal("deleted", deleted, true)
		f.equal("after that of one task", out.taken(), ids(waiting[3:]))
	},
}
