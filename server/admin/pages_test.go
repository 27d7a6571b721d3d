package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// someRow is the first task of a view, that a selection chooses.
func (s *site) someRow(selection queue.Selection) *queue.Row {
	s.t.Helper()
	page, err := s.operator().List(s.t.Context(), queue.ListRequest{Selection: selection, Limit: 1})
	if err != nil || len(page.Rows) == 0 {
		s.t.Fatalf("no row: %v", err)
	}
	return page.Rows[0]
}

// schedule makes a schedule of the first task that is known.
func (s *site) schedule(name, spec, zone string) {
	s.t.Helper()
	r := queue.ScheduleRequest{Name: name, Task: s.client.Registry().Tasks()[0].Name, Spec: spec, Zone: zone, Actor: "dana@example.com"}
	if _, _, err := s.client.PutSchedule(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
}

// limitTasks sets limits of each kind, and returns a task that waits for one.
func (s *site) limitTasks() uuid.UUID {
	s.t.Helper()
	for _, l := range []queue.Limit{
		{Kind: queue.LimitQueue, Name: "reports", Running: 20, Starts: 1000, Per: time.Minute},
		{Kind: queue.LimitName, Name: "billing.charge_card", Starts: 1, Per: 24 * time.Hour},
		{Kind: queue.LimitEach, Name: "emails.send_receipt", Running: 2},
		{Kind: queue.LimitName, Name: "tenant " + strings.Repeat("7", 150), Running: 1},
	} {
		if _, err := s.client.SetLimit(s.t.Context(), l, "dana@example.com"); err != nil {
			s.t.Fatal(err)
		}
	}
	executor, err := queue.NewExecutor(s.client, queue.ExecutorConfig{})
	if err != nil {
		s.t.Fatal(err)
	}
	var waiting uuid.UUID
	for range 2 {
		waiting = s.enqueue("billing.charge_card", `{"order":1}`)
		if _, err := executor.RunByID(s.t.Context(), waiting, queue.RunOptions{}); err != nil && !errors.Is(err, queue.ErrLimited) {
			s.t.Fatal(err)
		}
	}
	return waiting
}

// TestInChromium checks what only a browser shows.
func TestInChromium(t *testing.T) {
	browser := startBrowser(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"every page":         testEveryPage,
		"retry all":          testRetryAll,
		"select some":        testSelectSome,
		"without JavaScript": testWithoutJavaScript,
		"form of a type":     testTypeForm,
		"looks again":        testLooksAgain,
		"running tasks":      testLive,
		"goes on by itself":  testGoesOn,
		"keeps what it has":  testKeepsWhatItHas,
		"own login":          testOwnLoginInTheBrowser,
		"long brand":         testALongBrandFits,
		"languages":          testLanguages,
		"hostile text":       testHostileText,
		"another site":       testAnotherSite,
		"transfer":           testTransfer,
		"long names":         testLongNames,
		"crawl the night":    testCrawlTheNight,
		"shortcuts":          testShortcuts,
		"crawl nothing":      testCrawlEmpty,
		"before the effect":  testBeforeTheEffect,
	} {
		t.Run(name, func(t *testing.T) { test(t, browser) })
	}
}

// Each page, light and dark, wide and on a phone: nothing is wrong in the
// browser's eyes or axe's, and nothing is wider than the window.
func testEveryPage(t *testing.T, browser context.Context) {
	s, pages := eventfulNight(t)
	b := newTab(t, browser, s)
	for _, page := range pages {
		for _, look := range []struct {
			name          string
			dark          bool
			width, height int64
		}{{"", false, 1280, 900}, {"-dark", true, 1280, 900}, {"-phone", false, 390, 844}, {"-phone-dark", true, 390, 844}} {
			b.look(look.dark, look.width, look.height)
			if look.name == "" {
				b.open(page.path)
				b.until(`!document.querySelector("[data-again]")`)
			}
			name := page.name + look.name
			b.fits(name)
			switch look.name {
			case "":
				b.audited(name)
			case "-dark": // the colours are all that differs, and these pages have all of them
				switch page.name {
				case "overview", "failed", "nothing", "task-panic", "confirm", "schedules", "schedule", "queues":
					b.audited(name, "color-contrast")
				}
			}
			b.picture(name, true)
		}
	}
	b.ignore("404")
	b.ignore("400")
}

// namedPage is a page to look at.
type namedPage struct{ name, path string }

// eventfulNight is a bad night on which all pages have something to show.
func eventfulNight(t *testing.T) (s *site, pages []namedPage) {
	t.Helper()
	s = newNight(t, func(c *admin.Config, _ *queue.Config) {
		c.SweepEvery = 30 * time.Second
		c.Links = func(row *queue.Row) []admin.Link {
			return []admin.Link{{Name: "Cloud Logging", URL: "https://console.cloud.google.com/logs/query;query=" + row.ID.String()}}
		}
	})
	failed := s.someRow(queue.Selection{View: queue.ViewFailed, Task: "webhook.deliver"})
	panicked := s.someRow(queue.Selection{View: queue.ViewFailed, Task: "reports.render_pdf"})
	for _, action := range []queue.Action{queue.ActionRetry, queue.ActionRun} {
		if _, err := s.client.Act(t.Context(), queue.ActRequest{Action: action, Actor: "dana@example.com", Target: "tasks named emails.*",
			Selection: queue.Selection{Task: "emails.send_receipt", Error: "mailbox 5003"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.client.RecordAudit(t.Context(), "sam@example.com", "enqueue", failed.ID, failed.Task); err != nil {
		t.Fatal(err)
	}
	s.schedule("nightly-report", "0 9 * * 1-5", "Europe/Berlin")
	s.schedule("every-quarter-of-an-hour-in-the-warehouse-of-Sao-Paulo", "*/15 * * * *", "America/Sao_Paulo")
	if _, err := s.client.RunSchedule(t.Context(), "nightly-report", "dana@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.PauseSchedule(t.Context(), "every-quarter-of-an-hour-in-the-warehouse-of-Sao-Paulo", "sam@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.PauseQueue(t.Context(), queue.GateRequest{Queue: "emails", Actor: "sam@example.com", Reason: "the mail provider answers with 421 since three"}, nil); err != nil {
		t.Fatal(err)
	}
	limited := s.limitTasks()
	group := s.groups()
	return s, []namedPage{
		{"overview", "/admin/"},
		{"schedules", "/admin/schedules"},
		{"schedule", "/admin/schedules/nightly-report"},
		{"groups", "/admin/groups"},
		{"group", "/admin/groups/" + group.String()},
		{"tasks", "/admin/tasks?error=5003"},
		{"failed", "/admin/tasks?view=failed&task=reports.*"},
		{"filtered", "/admin/tasks?view=failed&task=billing.*&error=5003&since=12h&priority=0"},
		{"nothing", "/admin/tasks?task=no.such&until=long+ago"},
		{"refused", "/admin/tasks?status=FAILED&task=%ffx&backend=%00"},
		{"task-failed", "/admin/tasks/" + failed.ID.String()},
		{"task-panic", "/admin/tasks/" + panicked.ID.String()},
		{"task-stranded", "/admin/tasks/" + s.someRow(queue.Selection{View: queue.ViewPending, Stranded: true}).ID.String()},
		{"task-running", "/admin/tasks/" + s.someRow(queue.Selection{View: queue.ViewRunning}).ID.String()},
		{"task-limited", "/admin/tasks/" + limited.String()},
		{"queues", "/admin/queues"},
		{"queue", "/admin/queues/emails"},
		{"types", "/admin/types"},
		{"type", "/admin/types/billing.charge_card"},
		{"enqueue", "/admin/types/billing.charge_card?from=" + s.someRow(queue.Selection{View: queue.ViewFailed, Task: "billing.charge_card"}).ID.String()},
		{"workers", "/admin/workers"},
		{"audit", "/admin/audit"},
		{"confirm", "/admin/confirm?all=retry&view=failed&task=billing.charge_card"},
		{"missing", "/admin/tasks/" + uuid.NewString()},
	}
}
