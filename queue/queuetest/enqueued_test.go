package queuetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
)

type mail struct {
	To    string   `json:"to"`
	Total int      `json:"total,omitempty"`
	Tags  []string `json:"tags,omitempty"`
	Extra struct {
		Note string `json:"note,omitempty"`
	} `json:"extra,omitzero"`
}

var (
	sendMail = queue.NewTask("mail.send", func(_ context.Context, in mail) (string, error) { return "sent to " + in.To, nil }, queue.OnQueue("mail"), queue.Priority(5))
	report   = queue.NewTaskFunc("reports.make", func(context.Context, int) error { return nil })
)

func enqueue[In, Out any](t *testing.T, c *queue.Client, task *queue.Task[In, Out], in In, opts ...queue.Option) *queue.Handle {
	t.Helper()
	handle, err := task.Enqueue(t.Context(), c, in, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

func TestRequireEnqueuedReturnsTheTask(t *testing.T) {
	client, clock := queuetest.New(t, sendMail, report)
	ann := mail{To: "ann", Total: 7, Tags: []string{"a", "b"}}
	at := clock.Now().Add(time.Hour)
	handle := enqueue(t, client, sendMail, ann, queue.RunAfter(at), queue.Unique("ann"))
	enqueue(t, client, sendMail, mail{To: "bob"}, queue.OnQueue("slow"), queue.Priority(-1))
	enqueue(t, client, sendMail, mail{To: "bob"})

	got := queuetest.RequireEnqueued(t, client, sendMail, queuetest.Args(ann), queuetest.OnQueue("mail"), queuetest.Priority(5),
		queuetest.RunAfter(at), queuetest.UniqueKey("ann"), queuetest.LimitKey(""), queuetest.Status(queue.StatusReady))
	if got.ID != handle.ID || got.Args.Total != 7 || len(got.Args.Tags) != 2 {
		t.Errorf("%+v", got)
	}
	big := queuetest.Where("a total above 5", func(in mail) bool { return in.Total > 5 })
	if got := queuetest.RequireEnqueued(t, client, sendMail, big); got.ID != handle.ID {
		t.Errorf("%+v", got)
	}
	if got := queuetest.RequireEnqueued(t, client, sendMail, queuetest.Args(mail{To: "bob"}), queuetest.Times(2)); got.Queue != "slow" {
		t.Errorf("the first is not the oldest: %+v", got.Row)
	}
	if all := queuetest.All(t, client, sendMail); len(all) != 3 || all[0].ID != handle.ID || all[2].Args.To != "bob" {
		t.Errorf("%+v", all)
	}
	queuetest.RequireNone(t, client, report)
	queuetest.RequireNone(t, client, sendMail, queuetest.Args(mail{To: "eve"}))
}

func TestAFailureSaysWhatWasEnqueuedAndHowItDiffers(t *testing.T) {
	client, clock := queuetest.New(t, sendMail, report)
	wanted := queuetest.Args(mail{To: "ann", Total: 7, Tags: []string{"a", "b"}})
	says(t, func(t testing.TB) { queuetest.RequireEnqueued(t, client, sendMail, wanted) },
		`want 1 task mail.send with args {"to":"ann","total":7,"tags":["a","b"]}, found 0`, "nothing was enqueued")

	enqueue(t, client, report, 1)
	enqueue(t, client, report, 2)
	says(t, func(t testing.TB) { queuetest.RequireEnqueued(t, client, sendMail) }, "want 1 task mail.send, found 0", "other tasks: 2 × reports.make")

	other := mail{To: "bob", Tags: []string{"a", "c"}}
	other.Extra.Note = "<&>"
	handle := enqueue(t, client, sendMail, other, queue.Delay(time.Hour))
	says(t, func(t testing.TB) {
		queuetest.RequireEnqueued(t, client, sendMail, wanted, queuetest.OnQueue("fast"), queuetest.RunAfter(time.Time{}))
	},
		"with args", "queue fast", "run after at once, found 0",
		"differs: "+handle.ID.String()+" mail.send READY not before "+clock.Now().Add(time.Hour).Format(time.RFC3339),
		`args.extra is {"note":"<&>"}, want none`, `args.tags[1] is "c", want "b"`, `args.to is "bob", want "ann"`, "args.total is missing, want 7",
		"queue is mail, want fast", "run after is "+clock.Now().Add(time.Hour).Format("2006-01-02T15:04"), "want at once", "other tasks: 2 × reports.make")
	says(t, func(t testing.TB) {
		queuetest.RequireEnqueued(t, client, sendMail, queuetest.Where("a total above 5", func(in mail) bool { return in.Total > 5 }))
	}, "with a total above 5, found 0", `args are {"to":"bob"`, "want a total above 5")

	enqueue(t, client, sendMail, mail{To: "bob"})
	says(t, func(t testing.TB) { queuetest.RequireEnqueued(t, client, sendMail) }, "want 1 task mail.send, found 2", "matches: ", "matches: ")
	says(t, func(t testing.TB) { queuetest.RequireEnqueued(t, client, sendMail, queuetest.Times(3)) }, "want 3 tasks mail.send, found 2")
	says(t, func(t testing.TB) { queuetest.RequireNone(t, client, sendMail, queuetest.Priority(5)) },
		"want no task mail.send with priority 5; enqueued were:", handle.ID.String(), `args {"to":"bob"`)
}

func TestConditionsThatCanNeverHold(t *testing.T) {
	client, _ := queuetest.New(t, sendMail)
	says(t, func(t testing.TB) { queuetest.RequireEnqueued(t, client, sendMail, queuetest.Args("ann")) },
		"the condition is on arguments of the type string, and those of mail.send have the type queuetest_test.mail")
	says(t, func(t testing.TB) { queuetest.RequireNone(t, client, sendMail, queuetest.Args(&mail{})) }, "of the type *queuetest_test.mail")
	says(t, func(t testing.TB) { queuetest.RequireEnqueued(t, client, sendMail, queuetest.Times(0)) }, "Times must be at least 1, not 0: RequireNone is for none")
}

func TestAFailureShowsWhatBecameOfTheTask(t *testing.T) {
	broken := queue.NewTaskFunc("broken", func(context.Context, any) error { return errors.New("no luck") })
	client, _ := queuetest.New(t, broken)
	enqueue[any](t, client, broken, nil)
	queuetest.Drain(t, client)
	says(t, func(t testing.TB) {
		queuetest.RequireEnqueued(t, client, broken, queuetest.Status(queue.StatusSuccessful))
	},
		"READY not before ", "after 1 of 10 attempts: *errors.errorString: no luck", "status is READY, want SUCCESSFUL")
}
