package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

func TestTaskPageShowsProgressNoteAndCheckpoint(t *testing.T) {
	attempts := 0
	work := func(ctx context.Context, _ any) (any, error) {
		if attempts++; attempts%2 == 1 {
			queue.Progress(ctx, 1250, 0)
			return nil, errors.New("boom")
		}
		queue.Progress(ctx, 300, 400)
		queue.Note(ctx, "page <3> of pst-secret")
		if err := queue.SaveCheckpoint(ctx, "after pst-secret"); err != nil {
			return nil, err
		}
		return nil, errors.New("boom")
	}
	registry := queue.NewRegistry(queue.NewTask("t.shown", work), queue.NewTask("t.hidden", work))
	s := newSite(t, func(c *admin.Config, q *queue.Config) {
		q.Registry = registry
		c.Redact = func(task string) bool { return task == "t.hidden" }
	})
	exec, err := queue.NewExecutor(s.client, queue.ExecutorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for name, note := range map[string]string{"t.shown": "page <3> of pst-secret", "t.hidden": "note redacted"} {
		saved := "\"data\": \"after pst-secret\""
		if name == "t.hidden" {
			saved = "for its next attempt redacted"
		}
		id := s.enqueue(name, `null`)
		path := "/admin/tasks/" + id.String()
		if body := s.get(path).Body.String(); strings.Contains(body, "Progress") {
			t.Errorf("%s: progress of a task that has reported none", name)
		}
		s.run(exec, id)
		if body := s.get(path).Body.String(); !strings.Contains(plain(body), "Progress: 1,250") || strings.Contains(body, "<progress") {
			t.Errorf("%s: without a total: %s", name, plain(body))
		}
		s.run(exec, id)
		body := s.get(path).Body.String()
		if text := plain(body); !strings.Contains(text, "Progress: 300 of 400 (75%)") || !strings.Contains(text, note) || !strings.Contains(text, saved) {
			t.Errorf("%s: %s", name, text)
		}
		if !strings.Contains(body, `max="400" value="300"`) {
			t.Errorf("%s: no bar", name)
		}
		if name == "t.hidden" && strings.Contains(body, "pst-secret") {
			t.Error("the note or the checkpoint of a redacted task is shown")
		}
	}
}
