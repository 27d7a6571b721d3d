package admin_test

import (
	"encoding/json"
	"html"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

func TestATaskOfAScheduleShowsIt(t *testing.T) {
	s := newSite(t, nil)
	if _, _, err := s.client.PutSchedule(t.Context(), queue.ScheduleRequest{Name: "nightly", Task: "search.reindex", Args: json.RawMessage(`{}`), Spec: "0 3 * * *"}); err != nil {
		t.Fatal(err)
	}
	handle, err := s.client.RunSchedule(t.Context(), "nightly", "ops")
	if err != nil {
		t.Fatal(err)
	}
	body := s.get("/admin/tasks/" + handle.ID.String()).Body.String()
	if !strings.Contains(body, `<a href="/admin/schedules/nightly" translate="no">nightly</a>`) || !strings.Contains(plain(body), "Schedule nightly Scheduled for ") {
		t.Error(plain(body))
	}
}

func TestATaskThatExpiredSaysSo(t *testing.T) {
	s := newSite(t, nil)
	id := s.enqueue("search.reindex", `{}`, queue.ExpiresIn(time.Millisecond))
	for s.row(id).Status == queue.StatusReady {
		if _, err := s.client.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	text := plain(s.get("/admin/tasks/" + id.String()).Body.String())
	if !strings.Contains(text, "It expired: it was not started before its expires_at") || strings.Contains(text, "It was cancelled and will not run") {
		t.Error(text)
	}
	other := s.enqueue("search.reindex", `{}`)
	if _, _, err := s.client.Cancel(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if text := plain(s.get("/admin/tasks/" + other.String()).Body.String()); !strings.Contains(text, "It was cancelled and will not run again.") {
		t.Error(text)
	}
}

// A task of a paused queue has no button that would be refused, parked or not.
func TestATaskOfAPausedQueueCannotBeRun(t *testing.T) {
	s := newSite(t, nil)
	before := s.enqueue("search.reindex", `{}`, queue.OnQueue("search"))
	if _, err := s.client.PauseQueue(t.Context(), queue.GateRequest{Queue: "search", Actor: "Ada", Reason: "index is full"}, nil); err != nil {
		t.Fatal(err)
	}
	after := s.enqueue("search.reindex", `{}`, queue.OnQueue("search"))
	elsewhere := s.enqueue("search.reindex", `{}`)
	for _, id := range []uuid.UUID{before, after} {
		body := s.get("/admin/tasks/" + id.String()).Body.String()
		if text := plain(body); strings.Contains(text, "Run now") || !strings.Contains(text, "Its queue, search, is paused by Ada (index is full): it waits, and cannot be run, until the queue is resumed.") || !strings.Contains(body, `<a href="/admin/queues">Resume it under Queues</a>`) {
			t.Errorf("parked %t: %s", s.row(id).Parked(), text)
		}
	}
	if text := plain(s.get("/admin/tasks/" + elsewhere.String()).Body.String()); !strings.Contains(text, "Run now") {
		t.Error(text)
	}
}

func TestTheCommandThatEnqueuesAgainSaysWhatItLeavesOut(t *testing.T) {
	s := newSite(t, func(_ *admin.Config, _ *queue.Config) {})
	id := s.enqueue("search.reindex", `{}`, queue.Unique("k", queue.UniqueFor(time.Hour)), queue.Keep(time.Hour, 48*time.Hour), queue.ExpiresIn(3*time.Hour), queue.Delay(time.Hour))
	text := html.UnescapeString(s.get("/admin/tasks/" + id.String()).Body.String())
	for _, want := range []string{`"unique_key":"k","unique_for":"1h0m0s"`, `"keep_successful":"1h0m0s","keep_failed":"48h0m0s"`, "The copy has no run_after and no expires_at.", "While this task holds its unique key, the command returns this task."} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	for held, option := range map[string]queue.UniqueOption{"kept": queue.WhileKept(), "unfinished": queue.OnConflict(queue.ReturnExisting)} {
		id := s.enqueue("search.reindex", `{}`, queue.Unique("k2", option))
		text := html.UnescapeString(s.get("/admin/tasks/" + id.String()).Body.String())
		if !strings.Contains(text, `"unique_key":"k2","unique_for":"`+held+`"`) || strings.Contains(text, "The copy has no") {
			t.Errorf("%s: %s", held, text)
		}
		if _, _, err := s.client.Delete(t.Context(), id, "ops"); err != nil {
			t.Fatal(err)
		}
	}
	plainTask := s.enqueue("search.reindex", `{}`)
	if text := html.UnescapeString(s.get("/admin/tasks/" + plainTask.String()).Body.String()); strings.Contains(text, "unique_key") || strings.Contains(text, "keep_failed") || strings.Contains(text, "expires_at") {
		t.Error(text)
	}
}
