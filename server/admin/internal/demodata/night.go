package demodata

import (
	"fmt"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// failure is a kind of failure, many times over.
type failure struct {
	task, queue          string
	kind, message, trace string // a %d in the message is a different number each time
	count, attempts      int
	latest, apart        time.Duration // how long ago the latest was, and the time between two
	permanent            bool          // attempts were left
}

// LargestFailure is how many tasks the largest kind of failure has.
const LargestFailure = 371

var failed = []failure{
	{"billing.charge_card", "billing", "*net.OpError",
		"charge order %d: dial tcp 10.0.3.7:443: i/o timeout", "charge order: dial tcp 10.0.3.7:443: i/o timeout\ndial tcp 10.0.3.7:443: i/o timeout\ni/o timeout",
		LargestFailure, 3, 40 * time.Second, 21 * time.Second, false},
	{"webhook.deliver", "webhooks", "*webhook.StatusError",
		"POST https://hooks.example.com/orders/%d: 503 Service Unavailable", "", 128, 8, 3 * time.Minute, 95 * time.Second, false},
	{"emails.send_receipt", "emails", "*textproto.Error",
		"550 5.1.1 mailbox %d does not exist", "", 42, 1, 11 * time.Minute, 17 * time.Minute, true},
	{"reports.render_pdf", "reports", "panic",
		"runtime error: index out of range [%d] with length 12", stack, 7, 2, 25 * time.Minute, 40 * time.Minute, false},
	{"reports.legacy_export", "reports", "WorkerLost", "the lease of worker web-00041-x2p/3 expired %d s before during attempt 2 of 2, and no result was stored; the worker may be gone", "", 3, 2, 2 * time.Hour, time.Hour, false},
	{"search.reindex", "default", "*url.Error", "Get https://search.internal/%d: context deadline exceeded", "", 19, 8, 9 * 24 * time.Hour, time.Hour, false},
}

const stack = `goroutine 1843 [running]:
runtime/debug.Stack()
	runtime/debug/stack.go:26 +0x5e
shop/reports.(*table).cell(...)
	shop/reports/table.go:118
shop/reports.renderPDF({0xc0001a4000, 0x7})
	shop/reports/pdf.go:64 +0x2c5
github.com/claimcheck-go/claimcheck/queue.bind[...].func1()
	github.com/claimcheck-go/claimcheck/queue/task.go:96 +0x4d`

// failures are FAILED tasks, each with all its attempts, and so many more of one kind.
func (d *data) failures(more int) error {
	kinds := failed
	if more > 0 {
		kinds = append(slices.Clone(failed), failure{"emails.send_welcome", "emails", "*smtp.Error",
			"421 4.7.0 mail %d: try again later", "", more, 8, time.Minute, min(23*time.Hour/time.Duration(more), 10*time.Second), false})
	}
	for _, f := range kinds {
		for i := range f.count {
			end := d.now.Add(-f.latest - time.Duration(i)*f.apart)
			err := d.task(f.task, f.queue, d.argsOf(f.task, i), func(row *queue.Row) {
				row.Status, row.Attempts, row.MaxAttempts, row.FinishedAt = queue.StatusFailed, f.attempts, f.attempts, end
				if f.permanent {
					row.MaxAttempts = 8
				}
				for n := f.attempts; n >= 1; n-- {
					at := end.Add(-time.Duration((f.attempts-n)*(f.attempts-n)) * 70 * time.Second)
					started := at.Add(-time.Duration(5+i%7) * time.Second)
					worker := fmt.Sprintf("web-00042-k7d/%d", 1+(i+n)%6)
					row.WorkerIDs = append([]string{worker}, row.WorkerIDs...)
					row.Errors = append([]queue.AttemptError{{ExceptionClassPath: f.kind, Message: fmt.Sprintf(f.message, 5000+i), Traceback: f.trace,
						Attempt: n, At: at, StartedAt: started, WorkerID: worker}}, row.Errors...)
					row.StartedAt = started
				}
				row.LastAttemptedAt = row.Errors[f.attempts-1].StartedAt
				row.EnqueuedAt = row.StartedAt.Add(-2 * time.Second)
				row.DispatchDueAt, row.ID = end, idAt(row.EnqueuedAt, d.n)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// waiting are READY and RUNNING tasks of one kind.
type waiting struct {
	task, queue string
	count       int
	change      func(row *queue.Row, i int)
}

// live are tasks that wait and run, some of them stuck.
func (d *data) live() error {
	running := func(age, lease time.Duration) func(*queue.Row, int) {
		return func(row *queue.Row, i int) {
			row.Status, row.Attempts = queue.StatusRunning, 1
			row.StartedAt = d.now.Add(-age - time.Duration(i)*time.Second)
			row.LastAttemptedAt, row.EnqueuedAt = row.StartedAt, row.StartedAt.Add(-time.Second)
			row.LeaseExpiresAt = d.now.Add(lease + time.Duration(i)*time.Second)
			row.WorkerIDs = []string{fmt.Sprintf("web-00042-k7d/%d", 1+i%6)}
		}
	}
	late := func(age time.Duration, reason string) func(*queue.Row, int) {
		return func(row *queue.Row, i int) {
			row.EnqueuedAt = d.now.Add(-age - time.Duration(i)*time.Second)
			row.DispatchDueAt, row.DispatchTries, row.DispatchError = row.EnqueuedAt.Add(queue.DispatchGrace), 1, reason
		}
	}
	kinds := []waiting{
		{"emails.send_welcome", "emails", 240, func(row *queue.Row, _ int) { row.Priority = 10 }},
		{"webhook.deliver", "webhooks", 900, func(*queue.Row, int) {}},
		{"webhook.deliver", "webhooks", 310, func(row *queue.Row, i int) {
			row.Attempts, row.RetryAt = 1+i%5, d.now.Add(time.Duration(20+7*i)*time.Second)
			row.StartedAt, row.LastAttemptedAt = row.EnqueuedAt, row.EnqueuedAt
			for n := range row.Attempts {
				row.WorkerIDs = append(row.WorkerIDs, "web-00042-k7d/2")
				row.Errors = append(row.Errors, queue.AttemptError{ExceptionClassPath: "*webhook.StatusError", Message: "POST https://hooks.example.com/orders/9: 503 Service Unavailable",
					Attempt: n + 1, At: row.EnqueuedAt.Add(time.Second), StartedAt: row.EnqueuedAt, WorkerID: "web-00042-k7d/2"})
			}
		}},
		{"reports.render_pdf", "reports", 65, func(row *queue.Row, i int) { row.RunAfter = d.now.Add(time.Duration(1+i) * time.Hour) }},
		{"media.transcode", "media", 12, running(90*time.Second, 45*time.Second)},
		{"billing.charge_card", "billing", 4, running(8*time.Second, 50*time.Second)},
		{"media.transcode", "media", 3, running(14*time.Minute, -9*time.Minute)},
		{"crm.sync_contact", "partner", 58, late(3*time.Hour, `rpc error: code = NotFound desc = Queue does not exist (is there a Cloud Tasks queue "partner", and may the service account enqueue?)`)},
		{"reports.legacy_export", "reports", 6, late(26*time.Hour, "")},
	}
	for _, kind := range kinds {
		for i := range kind.count {
			if err := d.task(kind.task, kind.queue, d.argsOf(kind.task, i), func(row *queue.Row) { kind.change(row, i) }); err != nil {
				return err
			}
		}
	}
	return nil
}
