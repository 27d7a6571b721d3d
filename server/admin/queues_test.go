package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestQueuesArePausedAndResumedOnTheirPage(t *testing.T) {
	s := newSite(t, nil)
	id := s.enqueue("emails.send_welcome", `{}`, queue.OnQueue("emails"))
	if page := s.get("/admin/queues").Body.String(); !strings.Contains(page, `action="/admin/pause"`) {
		t.Fatalf("no form to pause a queue: %s", page)
	}
	done := s.follow(s.post("/admin/pause", url.Values{"queue": {"emails"}, "reason": {"the <provider> is down"}}))
	page := done.Body.String()
	for _, want := range []string{"Queue emails is paused. None of its tasks starts until it is resumed.", "the &lt;provider&gt; is down", `action="/admin/resume"`, "paused</b>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of queues does not contain %q: %s", want, page)
		}
	}
	overview := s.get("/admin/").Body.String()
	for _, want := range []string{"Queue emails is paused", "1 task is due and waits until it is resumed", "the &lt;provider&gt; is down", "parked=1"} {
		if !strings.Contains(overview, want) {
			t.Errorf("the overview does not contain %q", want)
		}
	}
	if strings.Contains(overview, "No worker serves") {
		t.Error("the overview warns that no worker serves a paused queue")
	}
	if list := s.get("/admin/tasks?queue=emails&parked=1").Body.String(); !strings.Contains(list, id.String()) || !strings.Contains(list, "queue paused") {
		t.Errorf("the parked task is not listed: %s", list)
	}
	if task := s.get("/admin/tasks/" + id.String()).Body.String(); !strings.Contains(task, "it waits, and cannot be run, until the queue is resumed.") {
		t.Error("the task's page does not say what it waits for")
	}
	acted := s.follow(s.post("/admin/act", url.Values{"do": {"run"}, "pick": {id.String()}}))
	if !strings.Contains(acted.Body.String(), "Nothing was changed. 1 was skipped because its queue is paused (emails).") {
		t.Errorf("Run now: %s", acted.Body)
	}
	if all := s.get("/admin/confirm?all=run&queue=emails"); all.Code != http.StatusConflict || !strings.Contains(all.Body.String(), "queue emails is paused") && !strings.Contains(all.Body.String(), "Queue emails is paused") {
		t.Errorf("Run now of all: %d %s", all.Code, all.Body)
	}
	resumed := s.follow(s.post("/admin/resume", url.Values{"queue": {"emails"}}))
	if !strings.Contains(resumed.Body.String(), "Queue emails is resumed. All of its tasks can run again.") || s.row(id).Parked() {
		t.Errorf("resume: %s", resumed.Body)
	}
	log, err := s.operator().AuditLog(t.Context(), uuid.Nil, time.Time{}, 10)
	if err != nil || len(log) != 3 || log[0].Action != queue.AuditResume || log[2].Action != queue.AuditPause || log[2].Actor == "" {
		t.Errorf("audit log: %+v, %v", log, err)
	}
	if audit := s.get("/admin/audit").Body.String(); !strings.Contains(audit, "pause queue") || !strings.Contains(audit, "emails: the &lt;provider&gt; is down") {
		t.Error("the audit page does not show the pause")
	}
	if wrong := s.post("/admin/pause", url.Values{"queue": {"a b"}}); wrong.Code != http.StatusBadRequest {
		t.Errorf("a name that no queue has: %d", wrong.Code)
	}
}
