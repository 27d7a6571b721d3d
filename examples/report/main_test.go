package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/server/pushtest"
)

const want = `report:
  east    120
  north    80
  south   200
  west     45
  total   445
`

// newClient is a client whose clock begins at noon, far from the time of the report.
func newClient(t *testing.T, r *reports) (*queue.Client, *queuetest.Clock) {
	clock := queuetest.NewClock(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC))
	return queuetest.NewClient(t, queue.Config{Store: queuetest.NewStore(clock), Registry: queue.NewRegistry(r.tasks()...)}), clock
}

func TestTheReportOfThreeNights(t *testing.T) {
	var out strings.Builder
	r := newReports(&out)
	client, _ := newClient(t, r)
	queuetest.DrainFor(t, client, 72*time.Hour)
	queuetest.RequireEnqueued(t, client, StartReport, queuetest.Times(3))
	queuetest.RequireEnqueued(t, client, ReportRegion, queuetest.Times(12))
	queuetest.RequireNone(t, client, Alert)
	if got := out.String(); got != strings.Repeat(want, 3) {
		t.Errorf("sent:\n%s", got)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, start := range queuetest.All(t, client, StartReport) {
		if at := start.ScheduledFor.In(berlin); at.Hour() != 2 || at.Minute() != 0 {
			t.Errorf("it began at %s", at)
		}
	}
}

func TestAPartThatFailsForGoodIsAnAlert(t *testing.T) {
	var out strings.Builder
	r := newReports(&out)
	r.broken["west"] = 1000
	client, clock := newClient(t, r)
	queuetest.Drain(t, client) // stores the schedule
	if _, err := client.RunSchedule(t.Context(), "nightly-report", ""); err != nil {
		t.Fatal(err)
	}
	queuetest.DrainFor(t, client, time.Hour)
	queuetest.RequireEnqueued(t, client, ReportRegion, queuetest.Args(Part{clock.Now().Format(time.DateOnly), "west"}), queuetest.Status(queue.StatusFailed))
	queuetest.RequireNone(t, client, SendReport)
	if got := out.String(); got != "alert: no report, because 1 of its 4 parts failed\n" {
		t.Errorf("sent: %s", got)
	}
}

// The whole way: rows, Cloud Tasks, HTTP requests with tokens, the report.
func TestThroughCloudTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		r := newReports(&out)
		p := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(r.tasks()...)})
		for range 24 * 60 {
			if _, err := p.Client.Tick(t.Context(), 0); err != nil { // what Cloud Scheduler calls, each minute
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		p.Wait(t, time.Hour)
		queuetest.RequireEnqueued(t, p.Client, SendReport, queuetest.Status(queue.StatusSuccessful))
		if got := out.String(); got != want {
			t.Errorf("sent:\n%s", got)
		}
	})
}
