package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// listed returns the IDs of all pages of a list, and checks that each page is as
// long as it can be.
func (f *fixture) listed(r queue.ListRequest) []uuid.UUID {
	f.Helper()
	var all []uuid.UUID
	for r.After = ""; ; {
		page, err := f.operator.List(f.ctx, r)
		f.must(err)
		for _, row := range page.Rows {
			if len(row.Args)+len(row.ReturnValue)+len(row.Errors) > 0 {
				f.Errorf("a listed row has %s, %s, %v", row.Args, row.ReturnValue, row.Errors)
			}
		}
		all = append(all, ids(page.Rows)...)
		if page.Next == "" {
			return all
		}
		if len(page.Rows) != r.Limit || page.Partial {
			f.Errorf("a page of %d rows", len(page.Rows))
		}
		r.After = page.Next
	}
}

// failed is a row that ended with an error of this type and text.
func (f *fixture) failed(class, message string, changes ...func(*queue.NewRow)) *queue.Row {
	f.Helper()
	row := f.insert(changes...)
	row = f.claim(row.ID, lease, func(r *queue.ClaimRequest) { r.Tasks = []string{row.Task} })
	_, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusFailed, Errors: []queue.AttemptError{
		{ExceptionClassPath: "*x.Earlier", Message: "earlier"}, {ExceptionClassPath: class, Message: message, Attempt: 1},
	}})
	f.must(err)
	return f.get(row.ID)
}

// viewTests are about what people see of many rows.
var viewTests = map[string]func(*fixture){
	"each view has its rows in its order, page by page, both ways": func(f *fixture) {
		views := make(map[queue.View][]uuid.UUID)
		add := func(row *queue.Row, list ...queue.View) {
			for _, view := range append(list, queue.ViewAll) {
				views[view] = append(views[view], row.ID)
			}
		}
		for i := range 5 {
			add(f.insert(delay(time.Duration(i+1)*time.Hour)), queue.ViewDelayed)
			add(f.claimed(time.Duration(i+1)*time.Hour), queue.ViewRunning)
			row := f.claimed(lease)
			f.finish(row.Claim())
			add(row, queue.ViewSuccessful)
			add(f.failed("*x.E", "no"), queue.ViewFailed)
			row = f.insert()
			f.cancel(row.ID)
			add(row, queue.ViewCancelled)
		}
		for i := range 5 {
			add(f.insert(priority(4-i/2)), queue.ViewPending)
		}
		for _, view := range []queue.View{queue.ViewAll, queue.ViewSuccessful, queue.ViewFailed, queue.ViewCancelled} {
			slices.Reverse(views[view]) // the latest first
		}
		for view, want := range views {
			for limit := 1; limit <= len(want)+1; limit += 2 {
				f.equal(string(view), f.listed(queue.ListRequest{Selection: queue.Selection{View: view}, Limit: limit}), want)
				reversed := slices.Clone(want)
				slices.Reverse(reversed)
				f.equal(string(view)+" reversed", f.listed(queue.ListRequest{Selection: queue.Selection{View: view}, Limit: limit, Reverse: true}), reversed)
			}
		}
	},
	"a selection chooses": func(f *fixture) {
		two := 2
		one := f.failed("*x.E", "Order 17 of \"ann\" is GONE", withTask("orders.ship"), onQueue("orders"), priority(2))
		other := f.failed("*x.E", "no", withTask("orders_ship"), onBackend("other"))
		waiting := f.insert(withTask("mail.send"), onQueue("mail"))
		armedOne := f.insert(armed)
		for what, c := range map[string]struct {
			selection queue.Selection
			want      []*queue.Row
		}{
			"everything":          {queue.Selection{}, []*queue.Row{armedOne, waiting, other, one}},
			"queue":               {queue.Selection{Queue: "orders"}, []*queue.Row{one}},
			"backend":             {queue.Selection{Backend: "other", View: queue.ViewFailed}, []*queue.Row{other}},
			"task":                {queue.Selection{Task: "orders.ship"}, []*queue.Row{one}},
			"beginning":           {queue.Selection{Task: "orders*"}, []*queue.Row{other, one}},
			"no pattern but that": {queue.Selection{Task: "%ship"}, nil},
			"priority":            {queue.Selection{Priority: &two}, []*queue.Row{one}},
			"error's text":        {queue.Selection{Error: "is gone"}, []*queue.Row{one}},
			"error's type":        {queue.Selection{Error: "X.e", View: queue.ViewFailed}, []*queue.Row{other, one}},
			"error's group":       {queue.Selection{Group: one.ErrorGroup}, []*queue.Row{one}},
			"stranded":            {queue.Selection{Stranded: true}, []*queue.Row{waiting}},
			"since":               {queue.Selection{Since: waiting.EnqueuedAt}, []*queue.Row{armedOne, waiting}},
			"until":               {queue.Selection{Until: waiting.EnqueuedAt}, []*queue.Row{other, one}},
			"IDs":                 {queue.Selection{IDs: []uuid.UUID{one.ID, waiting.ID, uuid.New()}}, []*queue.Row{waiting, one}},
			"IDs of a view":       {queue.Selection{IDs: []uuid.UUID{one.ID, waiting.ID}, View: queue.ViewFailed}, []*queue.Row{one}},
		} {
			f.equal(what, f.listed(queue.ListRequest{Selection: c.selection, Limit: 10}), ids(c.want))
		}
		f.equal("group", one.ErrorGroup, "*x.E: Order … of … is GONE")
		f.equal("text", one.ErrorText, `*x.E: Order 17 of "ann" is GONE`)
	},
	"what cannot be listed is refused": func(f *fixture) {
		for what, r := range map[string]queue.ListRequest{
			"limit":  {},
			"view":   {Selection: queue.Selection{View: "x"}, Limit: 1},
			"cursor": {After: "x", Limit: 1},
		} {
			if _, err := f.operator.List(f.ctx, r); !isInvalid(err) || !strings.Contains(err.Error(), map[string]string{"cursor": "after"}[what]) {
				f.Errorf("%s: %v", what, err)
			}
		}
	},
	"queues have stats": func(f *fixture) {
		first := f.insert(onQueue("a"))
		f.insert(onQueue("a"), armed)
		f.insert(onQueue("a"), delay(time.Hour), armed)
		f.claimed(lease, onQueue("b"))
		f.finish(f.claimed(lease, onQueue("b")).Claim())
		f.failed("x", "y", onQueue("c"), onBackend("z"))
		f.cancel(f.insert(onQueue("gone")).ID)
		got, err := f.operator.Queues(f.ctx)
		f.must(err)
		f.equal("queues", got, []queue.QueueStats{
			{Backend: "default", Queue: "a", Pending: 2, Delayed: 1, Stranded: 1, OldestSince: first.EnqueuedAt},
			{Backend: "default", Queue: "b", Running: 1, Succeeded: 1},
			{Backend: "z", Queue: "c", Failed: 1},
		})
	},
	"failures are grouped": func(f *fixture) {
		for i := range 3 {
			f.failed("*x.E", fmt.Sprintf("order %d is gone", i), withTask(taskName))
		}
		last := f.failed("*x.E", "else")
		got, err := f.operator.Failures(f.ctx, last.FinishedAt.Add(-time.Hour), 10)
		f.must(err)
		if len(got) != 2 || got[0].Count != 3 || got[0].Group != "*x.E: order … is gone" || got[0].Error != "*x.E: order 2 is gone" {
			f.Fatalf("%+v", got)
		}
		f.equal("second", got[1], queue.FailureGroup{Task: taskName, Group: "*x.E: else", Count: 1, Recent: 1, LastHour: 1, Permanent: 1, Last: last.FinishedAt, Error: "*x.E: else"})
		got, err = f.operator.Failures(f.ctx, last.FinishedAt.Add(-time.Hour), 1)
		f.must(err)
		f.equal("limited", len(got), 1)
	},
	"marks": func(f *fixture) {
		before := f.now()
		for range 2 {
			f.must(f.operator.Touch(f.ctx, "swept"))
		}
		f.must(f.operator.Touch(f.ctx, "other"))
		got, err := f.operator.Touched(f.ctx)
		f.must(err)
		f.equal("marks", len(got), 2)
		f.between("swept", got["swept"].Sub(before), 0, time.Minute)
	},
	"an audit log": func(f *fixture) {
		task := uuid.New()
		one := queue.AuditEntry{ID: uuid.Must(uuid.NewV7()), Actor: "ann", Action: "retry", Task: task, Target: "task"}
		two := queue.AuditEntry{ID: uuid.Must(uuid.NewV7()), Actor: "bob", Action: "cancel", Target: "all \"x\" 🙂"}
		var err error
		one.At, err = f.operator.RecordAudit(f.ctx, one)
		f.must(err)
		two.At, err = f.operator.RecordAudit(f.ctx, two)
		f.must(err)
		one.Done, one.Failed, one.Ended = 3, 1, true
		at, err := f.operator.RecordAudit(f.ctx, one)
		f.must(err)
		f.equal("made", at, one.At)
		for what, c := range map[string]struct {
			task   uuid.UUID
			before time.Time
			want   []queue.AuditEntry
		}{
			"all": {uuid.Nil, time.Time{}, []queue.AuditEntry{two, one}}, "before": {uuid.Nil, two.At, []queue.AuditEntry{one}},
			"of a task": {task, time.Time{}, []queue.AuditEntry{one}},
		} {
			got, err := f.operator.AuditLog(f.ctx, c.task, c.before, 10)
			f.must(err)
			f.equal(what, got, c.want)
		}
	},
}
