package admin_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// Rows keep the name that they were stored with, so that what is hidden by one name of a
// task is hidden under all of them.
func TestTasksAreRedactedUnderAllTheirNames(t *testing.T) {
	names := []string{"new.pay", "old.pay", "older.pay"}
	for _, hidden := range names {
		s := newSite(t, func(c *admin.Config, q *queue.Config) {
			c.Redact = func(task string) bool { return task == hidden }
			q.Registry = queue.NewRegistry(queue.Declare[any, any]("new.pay", queue.Alias(names[1:]...)), queue.Declare[any, any]("dead.letter"))
		})
		pages := []string{"/admin/", "/admin/tasks", "/admin/schedules"}
		for _, name := range names {
			failed, err := json.Marshal(queue.Failed{ID: uuid.New(), Task: name, Args: json.RawMessage(`{"card":"no-card-5555"}`)})
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range []uuid.UUID{s.enqueue(name, `{"card":"no-card-5555"}`), s.enqueue("dead.letter", string(failed))} {
				page := "/admin/tasks/" + id.String()
				if body := s.get(page).Body.String(); !strings.Contains(body, "redacted") {
					t.Errorf("hidden: %s; the page of %s does not say so", hidden, name)
				}
				pages = append(pages, page, page+"?whole=1", "/admin/types/new.pay?from="+id.String(), "/admin/types/dead.letter?from="+id.String())
			}
			if _, _, err := s.client.PutSchedule(t.Context(), queue.ScheduleRequest{Name: "of-" + name, Task: name, Spec: "@hourly", Args: json.RawMessage(`{"card":"no-card-5555"}`)}); err != nil {
				t.Fatal(err)
			}
			pages = append(pages, "/admin/schedules/of-"+name, "/admin/schedules?change=of-"+name)
		}
		for _, page := range pages {
			if body := s.get(page).Body.String(); strings.Contains(body, "no-card-5555") {
				t.Errorf("hidden: %s; %s shows it", hidden, page)
			}
		}
		for _, query := range []string{"text=no-card-5555", "args.card=no-card-5555", "args.args.card=no-card-5555"} {
			if ids := listed(s.get("/admin/tasks?" + query).Body.String()); len(ids) > 0 {
				t.Errorf("hidden: %s; %s finds %d", hidden, query, len(ids))
			}
			form, _ := url.ParseQuery("all=cancel&expected=3&" + query)
			if w := s.follow(s.post("/admin/act", form)); w.Code != http.StatusOK || !strings.HasPrefix(match(noticeText, w.Body.String()), "Nothing was changed") {
				t.Errorf("hidden: %s; %s: %d", hidden, query, w.Code)
			}
		}
	}
}
