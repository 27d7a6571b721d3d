package admin_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

func (s *site) contains(path string, wants ...string) string {
	s.t.Helper()
	page := s.get(path).Body.String()
	for _, want := range wants {
		if !strings.Contains(page, want) {
			s.t.Errorf("%s does not contain %q:\n%s", path, want, page)
		}
	}
	return page
}

// deliver runs a task as a delivery does.
func (s *site) deliver(id uuid.UUID) error {
	s.t.Helper()
	executor, err := queue.NewExecutor(s.client, queue.ExecutorConfig{})
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = executor.RunByID(s.t.Context(), id, queue.RunOptions{})
	return err
}

func TestLimitsAreSetAndRemovedOnThePageOfQueues(t *testing.T) {
	s := newSite(t, nil)
	s.enqueue("emails.send_welcome", `{}`, queue.OnQueue("emails"))
	set := func(pairs ...string) string {
		t.Helper()
		form := url.Values{"do": {"set"}}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return s.follow(s.post("/admin/limit", form)).Body.String()
	}
	for want, page := range map[string]string{
		"Limit of queue emails: at most 20 running, at most 100 starts within 1m.":                              set("kind", "queue", "name", "emails", "running", "20", "starts", "100", "per", "60s"),
		"Limit of task emails.send_welcome: at most 1 start within 1h.":                                         set("kind", "name", "name", "emails.send_welcome", "starts", "1", "per", "1h"),
		"Limit of each key of task emails.send_welcome: at most 2 running.":                                     set("kind", "each", "name", "emails.send_welcome", "running", "2"),
		"Limit of key &lt;b&gt;acme: at most 3 running.":                                                        set("kind", "name", "name", "<b>acme", "running", "3"),
		"Limit of queue nothing-waits-there: at most 1 running.":                                                set("kind", "queue", "name", "nothing-waits-there", "running", "1"),
		"Limit of queue a: at most 1 running.</":                                                                set("kind", "queue", "name", "a", "running", "1"),
		"Limit of queue a: removed. Tasks that wait only for this limit start in a moment.":                     s.follow(s.post("/admin/limit", url.Values{"do": {"remove"}, "kind": {"queue"}, "name": {"a"}})).Body.String(),
		"<b>at most 20 running, at most 100 starts within 1m</b>. 0 running now. 0 started within the last 1m.": s.get("/admin/queues").Body.String(),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in %s", want, page)
		}
	}
	page := s.contains("/admin/queues", "Set by an operator.", ">nothing-waits-there</a></h3>", "<h3>Key &lt;b&gt;acme</h3>", "<h3>Each key of task emails.send_welcome</h3>", "<h3>Task emails.send_welcome</h3>",
		`name="starts" type="number" min="1" max="10000" value="100"`, `value="1m"`)
	if strings.Contains(page, "<h3>a</h3>") {
		t.Error("a queue without tasks is listed after its limit was removed")
	}
	log, err := s.operator().AuditLog(t.Context(), uuid.Nil, time.Time{}, 10)
	if err != nil || len(log) != 7 || log[0].Action != queue.AuditLimit || log[0].Actor != "ops" {
		t.Errorf("audit log: %+v, %v", log, err)
	}
	s.contains("/admin/audit", "set limit", "queue emails: 20 running 100 starts per 1m")
	for want, form := range map[string]url.Values{
		"&#34;0&#34; is not a maximum of running tasks: enter a whole number from 1 to 10,000, or nothing for no maximum. To let no task start, pause the queue.": {"do": {"set"}, "kind": {"queue"}, "name": {"emails"}, "running": {"0"}},
		"&#34;many&#34; is not a maximum of starts: enter a whole number from 1 to 10,000":                                                                        {"do": {"set"}, "kind": {"queue"}, "name": {"emails"}, "starts": {"many"}, "per": {"1s"}},
		"&#34;&#34; is not a period: enter one from 1ms to 744h, such as 1s, 1m or 24h.":                                                                          {"do": {"set"}, "kind": {"queue"}, "name": {"emails"}, "starts": {"1"}},
		"Enter how many tasks may run at once":         {"do": {"set"}, "kind": {"queue"}, "name": {"emails"}},
		"limit kind &#34;x&#34;":                       {"do": {"set"}, "kind": {"x"}, "name": {"emails"}, "running": {"1"}},
		"use the name of a task, or a limit key":       {"do": {"set"}, "kind": {"name"}, "name": {""}, "running": {"1"}},
		"Actions on limits are set, remove and reset.": {"kind": {"queue"}, "name": {"emails"}, "running": {"1"}},
	} {
		if w := s.post("/admin/limit", form); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%v: %d %s, want %q", form, w.Code, w.Body, want)
		}
	}
}

// A reader sees the limits, and has no forms for them.
func TestAReaderDoesNotChangeLimits(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) {
		c.Access = looker{}
	})
	if _, err := s.client.SetLimit(t.Context(), queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1}, "ops"); err != nil {
		t.Fatal(err)
	}
	if page := s.contains("/admin/queues", "at most 1 running"); strings.Contains(page, "<form") && strings.Contains(page, `action="/admin/limit"`) {
		t.Error("a reader has a form")
	}
	if w := s.post("/admin/limit", url.Values{"do": {"remove"}, "kind": {"queue"}, "name": {"emails"}}); w.Code != http.StatusForbidden {
		t.Errorf("a reader's removal: %d", w.Code)
	}
}

// The page of a task that waits says which limit keeps it from running, and no other
// reason; and Run now does not pretend to run it.
func TestATaskThatWaitsSaysForWhichLimit(t *testing.T) {
	s := newSite(t, nil)
	limit := func(l queue.Limit) {
		t.Helper()
		if _, err := s.client.SetLimit(t.Context(), l, "ops"); err != nil {
			t.Fatal(err)
		}
	}
	limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 50})
	limit(queue.Limit{Kind: queue.LimitName, Name: "emails.send_welcome", Running: 1})
	running, waiting := s.enqueue("emails.send_welcome", `{}`, queue.OnQueue("emails")), s.enqueue("emails.send_welcome", `{}`, queue.OnQueue("emails"))
	claim := queue.ClaimRequest{ClaimID: queue.NewClaimID(), Tasks: []string{"emails.send_welcome"}, Worker: "w", Lease: time.Hour}
	claimed, err := s.store.Claim(t.Context(), running, claim)
	if err != nil {
		t.Fatal(err)
	}
	// It cannot start now, whether or not a delivery has found that out.
	const why = "It waits for the limit of task emails.send_welcome (1 of 1 tasks run). It starts by itself when there is room."
	s.contains("/admin/tasks/"+waiting.String(), why)
	if err := s.deliver(waiting); !errors.Is(err, queue.ErrLimited) {
		t.Fatal(err)
	}
	page := s.contains("/admin/tasks/"+waiting.String(), why, "waiting for a limit</li>")
	for _, wrong := range []string{"queue emails (", "stranded", "Next dispatch", "22026", "to be claimed", ">Run now<"} {
		if strings.Contains(page, wrong) {
			t.Errorf("the page says %q", wrong)
		}
	}
	s.contains("/admin/tasks?limited=1&queue=emails", waiting.String(), "waiting for a limit <a ")
	refused := s.post("/admin/act", url.Values{"do": {"run"}, "pick": {waiting.String()}})
	if body := refused.Body.String(); refused.Code != http.StatusConflict || !strings.Contains(body, "waits for the limit of task emails.send_welcome (1 of 1 tasks run), so it is not run") {
		t.Errorf("Run now: %d %s", refused.Code, refused.Body)
	}
	other := s.enqueue("reports.render_pdf", `{}`)
	both := s.follow(s.post("/admin/act", url.Values{"do": {"run"}, "pick": {waiting.String(), other.String()}}))
	if !strings.Contains(both.Body.String(), "1 task was dispatched and can run now. 1 was skipped because it waits for a limit (the limit of task emails.send_welcome).") {
		t.Errorf("Run now of two: %s", both.Body)
	}
	if _, err := s.store.Finish(t.Context(), claimed.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
		t.Fatal(err)
	}
	s.contains("/admin/tasks/"+waiting.String(), "It waited for one of the limits of task emails.send_welcome, queue emails, which have room now.")
	limit(queue.Limit{Kind: queue.LimitQueue, Name: "emails"})
	limit(queue.Limit{Kind: queue.LimitName, Name: "emails.send_welcome"})
	for _, wrong := range []string{"has room", "It waits for the limit of"} {
		if page := s.get("/admin/tasks/" + waiting.String()).Body.String(); strings.Contains(page, wrong) {
			t.Errorf("after the removal the page says %q", wrong)
		}
	}
}

// A rate names the time of the next start, and a queue whose tasks wait for one is not
// called unserved.
func TestATaskThatWaitsForARateSaysUntilWhen(t *testing.T) {
	s := newSite(t, nil)
	if _, err := s.client.SetLimit(t.Context(), queue.Limit{Kind: queue.LimitQueue, Name: "emails", Starts: 1, Per: 24 * time.Hour}, "ops"); err != nil {
		t.Fatal(err)
	}
	if err := s.deliver(s.enqueue("emails.send_welcome", `{}`, queue.OnQueue("emails"))); err != nil {
		t.Fatal(err)
	}
	waiting := s.enqueue("emails.send_welcome", `{}`, queue.OnQueue("emails"))
	if err := s.deliver(waiting); !errors.Is(err, queue.ErrLimited) {
		t.Fatal(err)
	}
	page := s.contains("/admin/tasks/"+waiting.String(), "It waits for the limit of queue emails (1 of 1 starts within 24h are used). It starts by itself when there is room, in 23 h at the earliest.")
	if strings.Contains(page, "tasks run)") {
		t.Error("the page names another part of the limit")
	}
	s.contains("/admin/queues", `emails</a> <b class="tag">limit reached</b></th>`)
	if _, err := s.db.ExecContext(context.Background(), `UPDATE claimcheck_tasks SET finished_at = finished_at - 7200000000, enqueued_at = enqueued_at - 7200000000`); err != nil {
		t.Fatal(err)
	}
	if overview := s.anew().get("/admin/").Body.String(); strings.Contains(overview, "No worker serves") {
		t.Errorf("the overview says that nothing serves the queue: %s", overview)
	}
}

// A queue that lets no task start, and one that accepts none, are named on the overview.
func TestTheOverviewNamesQueuesThatAreFull(t *testing.T) {
	s := newSite(t, func(_ *admin.Config, c *queue.Config) { c.MaxBacklog = map[string]int{"reports": 2, "emails": 3} })
	limit := queue.Limit{Kind: queue.LimitQueue, Name: "emails", Running: 1}
	if _, err := s.client.SetLimit(t.Context(), limit, "ops"); err != nil {
		t.Fatal(err)
	}
	running := s.enqueue("emails.send_welcome", `{}`, queue.OnQueue("emails"))
	claim := queue.ClaimRequest{ClaimID: queue.NewClaimID(), Tasks: []string{"emails.send_welcome"}, Worker: "killed", Lease: 4 * time.Hour}
	if _, err := s.store.Claim(t.Context(), running, claim); err != nil {
		t.Fatal(err)
	}
	s.enqueue("emails.send_welcome", `{}`, queue.OnQueue("emails"))
	s.enqueue("reports.render_pdf", `{}`, queue.OnQueue("reports"))
	const atLimit, refused = "Queue emails is at its limit, and none of its tasks ended in the last hour", "The backlog of queue reports is full: new tasks are refused"
	if page := s.get("/admin/").Body.String(); strings.Contains(page, "is at its limit") || strings.Contains(page, "is full") {
		t.Errorf("too early: %s", page)
	}
	s.enqueue("reports.render_pdf", `{}`, queue.OnQueue("reports"), queue.Delay(time.Hour))
	if _, err := s.db.ExecContext(context.Background(), `UPDATE claimcheck_tasks SET enqueued_at = enqueued_at - 7200000000`); err != nil {
		t.Fatal(err)
	}
	page := s.anew().get("/admin/").Body.String()
	for _, want := range []string{atLimit, "1 task is due, for 2 h. The limit is 1 running task, and 1 is running or about to start.", refused, "2 tasks are READY, and the limit is 2."} {
		if !strings.Contains(page, want) {
			t.Errorf("the overview does not say %q: %s", want, page)
		}
	}
	if strings.Contains(page, "backlog of queue emails") {
		t.Error("a queue with room is called full")
	}
}

// The page of task types shows the limits that concern each.
func TestTaskTypesShowTheirLimits(t *testing.T) {
	s := newSite(t, nil)
	s.enqueue("emails.send_welcome", `{}`)
	for _, l := range []queue.Limit{
		{Kind: queue.LimitQueue, Name: "default", Running: 9}, {Kind: queue.LimitName, Name: "emails.send_welcome", Starts: 5, Per: time.Minute},
		{Kind: queue.LimitEach, Name: "emails.send_welcome", Running: 2}, {Kind: queue.LimitQueue, Name: "other-queue", Running: 7},
	} {
		if _, err := s.client.SetLimit(t.Context(), l, "ops"); err != nil {
			t.Fatal(err)
		}
	}
	page := s.contains("/admin/types", "Limit of queue default: at most 9 running", "Limit of task emails.send_welcome: at most 5 starts within 1m", "Limit of each key of task emails.send_welcome: at most 2 running")
	if strings.Contains(page, "other-queue") {
		t.Error("a limit of another queue is shown")
	}
}

// The page distinguishes the code's limits from an operator's, also one that was removed.
func TestLimitsOfTheCodeAreDistinguished(t *testing.T) {
	s := newSite(t, func(_ *admin.Config, c *queue.Config) {
		c.Limits = []queue.Limit{{Kind: queue.LimitQueue, Name: "emails", Running: 4}}
	})
	apply := func() {
		t.Helper()
		if err := s.client.ApplyLimits(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	if page := s.contains("/admin/queues", "<b>at most 4 running</b>", "Set in the code."); strings.Contains(page, "Limit in the code") {
		t.Error("a limit of the code is called replaced")
	}
	s.follow(s.post("/admin/limit", url.Values{"do": {"set"}, "kind": {"queue"}, "name": {"emails"}, "running": {"9"}}))
	apply()
	s.contains("/admin/queues", "<b>at most 9 running</b>", "Set by an operator.", "Limit in the code: at most 4 running.")
	s.follow(s.post("/admin/limit", url.Values{"do": {"remove"}, "kind": {"queue"}, "name": {"emails"}}))
	apply()
	s.contains("/admin/queues", "No limit is set.", "Limit in the code: at most 4 running.", `value="reset"`)
	reset := s.follow(s.post("/admin/limit", url.Values{"do": {"reset"}, "kind": {"queue"}, "name": {"emails"}}))
	if body := reset.Body.String(); !strings.Contains(body, "Limit of queue emails: at most 4 running.") || !strings.Contains(body, "Set in the code.") || strings.Contains(body, `value="reset"`) {
		t.Errorf("reset: %s", body)
	}
}

// The audit log counts tasks of actions on tasks only.
func TestAuditOfALimitCountsNoTasks(t *testing.T) {
	s := newSite(t, nil)
	if _, err := s.client.SetLimit(t.Context(), queue.Limit{Kind: queue.LimitName, Name: "billing.charge_card", Running: 1}, "dana"); err != nil {
		t.Fatal(err)
	}
	if page := s.get("/admin/audit").Body.String(); !strings.Contains(page, "<td>done</td>") || strings.Contains(page, "1 task") {
		t.Errorf("%s", page)
	}
}
