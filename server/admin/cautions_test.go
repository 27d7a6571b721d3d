package admin_test

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

var mainPart = regexp.MustCompile(`(?s)<main[^>]*>(.*)</main>`)

// Before tasks are retried that nothing here can run, their number is said.
func TestRetriesOfUnknownNamesAreWarnedOf(t *testing.T) {
	s := newestNight(t, func(c *admin.Config, _ *queue.Config) {
		c.Redact = func(task string) bool { return task == "other" } // as if nothing was hidden
	})
	s.overviewNow()
	const warns = "3 of these are named reports.legacy_export, which is not registered here"
	for address, want := range map[string]string{
		"/admin/confirm?all=retry&view=failed":                            warns,
		"/admin/confirm?all=retry&view=failed&queue=reports":              warns,
		"/admin/confirm?all=retry&view=failed&task=*legacy*":              warns,
		"/admin/confirm?all=retry&view=failed&task=billing.charge_card":   "",
		"/admin/confirm?all=retry&view=failed&queue=billing":              "",
		"/admin/confirm?all=run&stranded=1":                               "At least 6 of these are named reports.legacy_export",
		"/admin/confirm?all=cancel&stranded=1":                            "",
		"/admin/confirm?all=retry&view=failed&task=emails.*":              "42 of these have a permanent error",
		"/admin/confirm?all=retry&view=failed&task=reports.legacy_export": warns,
	} {
		s.store.asked()
		w := s.get(address)
		page := w.Body.String()
		if w.Code != 200 || want != "" && !strings.Contains(page, want) || want == "" && strings.Contains(page, "notice mixed") {
			t.Errorf("%s: status %d, want %q in\n%s", address, w.Code, want, match(mainPart, page))
		}
		if asked := s.store.asked(); len(asked) > 4 {
			t.Errorf("%s asks %v", address, asked)
		}
	}
	row := s.someRow(queue.Selection{View: queue.ViewFailed, Task: "reports.legacy_export"})
	page := s.get("/admin/confirm?do=retry&pick=" + row.ID.String()).Body.String()
	if !strings.Contains(page, "1 of these is named reports.legacy_export") {
		t.Errorf("of one task:\n%s", match(mainPart, page))
	}
}

// A permanent error does not invite a retry: the button says so, is not the primary one,
// and asks first.
func TestPermanentErrorsDoNotInviteARetry(t *testing.T) {
	s := newSite(t, func(_ *admin.Config, q *queue.Config) {
		q.Registry = queue.NewRegistry(queue.NewTask("mail.send", func(context.Context, struct{}) (any, error) {
			return nil, queue.Discard(errors.New("no such mailbox"))
		}))
	})
	executor, err := queue.NewExecutor(s.client, queue.ExecutorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		s.enqueue("mail.send", `{}`)
	}
	if _, err := executor.Process(t.Context(), 20, queue.From{}); err != nil {
		t.Fatal(err)
	}
	overview := s.overviewNow()
	if !strings.Contains(overview, "12 tasks named mail.send are FAILED") || !strings.Contains(overview, "The error is permanent") || strings.Contains(overview, "Retry all") {
		t.Errorf("the overview:\n%s", match(mainPart, overview))
	}
	row := s.someRow(queue.Selection{View: queue.ViewFailed})
	page := s.get("/admin/tasks/" + row.ID.String()).Body.String()
	if !strings.Contains(page, ">Retry anyway…</a>") || strings.Contains(page, `name="do" value="retry"`) {
		t.Errorf("its page:\n%s", match(mainPart, page))
	}
	confirm := s.get("/admin/confirm?do=retry&pick=" + row.ID.String()).Body.String()
	if !strings.Contains(confirm, "1 of these has a permanent error") {
		t.Errorf("the confirmation:\n%s", match(mainPart, confirm))
	}
	w := s.follow(s.post("/admin/act", url.Values{"do": {"retry"}, "pick": {row.ID.String()}, "expected": {"1"}, "back": {"/admin/"}}))
	if !strings.Contains(w.Body.String(), "1 task is READY again") {
		t.Error("it cannot be retried all the same")
	}
}
