package admin_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// failing is a site with a task that fails, and an executor for it.
func failing(t *testing.T) (*site, *queue.Executor) {
	t.Helper()
	registry := queue.NewRegistry(queue.NewTask("t.fail", func(context.Context, any) (any, error) { return nil, errors.New("no luck") }, queue.MaxAttempts(1)))
	s := newSite(t, func(_ *admin.Config, q *queue.Config) { q.Registry = registry })
	exec, err := queue.NewExecutor(s.client, queue.ExecutorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return s, exec
}

// What can be done with a task whose arguments are gone, and until when it is there, is on
// its page and in the notice of a bulk retry.
func TestAFailedTaskWithoutItsArguments(t *testing.T) {
	s, exec := failing(t)
	dropped := func() (uuid.UUID, string) {
		id := s.enqueue("t.fail", `1`, queue.Keep(time.Hour, 0))
		s.run(exec, id)
		return id, "/admin/tasks/" + id.String()
	}
	id, path := dropped()
	text := plain(s.get(path).Body.String())
	if !strings.Contains(text, "Its retention setting dropped its arguments at its end, so it cannot be retried. A sweep deletes it in 9 min 5") || strings.Contains(text, "retry gives it") {
		t.Errorf("why: %s", text)
	}
	if strings.Contains(text, "allow_retry") {
		t.Errorf("a command that is refused: %s", text)
	}
	if _, err := s.db.Exec(`UPDATE claimcheck_tasks SET delete_at = delete_at - 3600000000 WHERE id = ?`, id); err != nil {
		t.Fatal(err)
	}
	text = plain(s.get(path).Body.String())
	if !strings.Contains(text, "The next sweep deletes it.") || !strings.Contains(text, "the next sweep deletes it") || strings.Contains(text, "Deletion 50 min ago") {
		t.Errorf("overdue: %s", text)
	}

	other := s.enqueue("t.fail", `2`)
	s.run(exec, other)
	form := url.Values{"all": {"retry"}, "view": {"failed"}, "expected": {"2"}, "back": {"/admin/tasks"}}
	if text := plain(s.follow(s.post("/admin/act", form)).Body.String()); !strings.Contains(text, "1 task is READY again. 1 was not retried: retention removed its arguments") {
		t.Error(text)
	}
	second, _ := dropped()
	s.run(exec, other)
	form = url.Values{"do": {"retry"}, "pick": {id.String(), second.String(), other.String()}, "back": {"/admin/tasks"}}
	if text := plain(s.follow(s.post("/admin/act", form)).Body.String()); !strings.Contains(text, "1 task is READY again. 2 were not retried: retention removed their arguments.") {
		t.Error(text)
	}
}

// A retry that is refused for a key names the task that holds it.
func TestARetryRefusedForAKeyNamesItsHolder(t *testing.T) {
	s, exec := failing(t)
	id := s.enqueue("t.fail", `1`, queue.Unique("k"))
	s.run(exec, id)
	holder := s.enqueue("t.fail", `2`, queue.Unique("k"))
	form := url.Values{"do": {"retry"}, "pick": {id.String()}, "back": {"/admin/tasks/" + id.String()}}
	want := "Not retried: task " + holder.String() + ", which is READY, holds its unique key."
	if text := plain(s.follow(s.post("/admin/act", form)).Body.String()); !strings.Contains(text, want) {
		t.Errorf("%q is missing: %s", want, text)
	}
}
