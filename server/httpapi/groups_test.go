package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// groupOf returns the group in an answer.
func (a *api) groupOf(got reply) map[string]any {
	a.t.Helper()
	g, ok := got.body["group"].(map[string]any)
	if !ok {
		a.t.Fatalf("no group: %d %s", got.status, got.text)
	}
	return g
}

func TestGroupsAreCreatedFilledAndClosed(t *testing.T) {
	a := newAPI(t, nil)
	created := a.do("POST", "/tasks/groups/", `{"name":"import","on_success":{"task":"t.echo","args":"all","priority":3},"on_failure":null}`)
	g := a.groupOf(created)
	id := g["id"].(string)
	if created.status != http.StatusCreated || g["name"] != "import" || g["state"] != "open" || g["total_count"] != 0.0 || strings.Contains(created.text, "existed") {
		t.Fatalf("create: %d %s", created.status, created.text)
	}
	success := g["on_success"].(map[string]any)
	if success["task_path"] != "t.echo" || success["id"] != queue.CompletionID(uuid.MustParse(id), true).String() || g["on_failure"] != nil {
		t.Errorf("on_success: %s", created.text)
	}
	member := a.enqueue(`{"task":"t.echo","args":1,"group_id":"` + id + `"}`)
	if got := a.do("GET", "/tasks/result/"+member+"/", ""); got.body["result"].(map[string]any)["group_id"] != id {
		t.Errorf("the member: %s", got.text)
	}
	again := a.do("POST", "/tasks/groups", `{"id":"`+id+`","name":"import","on_success":{"task":"t.echo","args":"all"}}`)
	if again.status != http.StatusOK || again.body["existed"] != true || a.groupOf(again)["ready_count"] != 1.0 {
		t.Errorf("create again: %d %s", again.status, again.text)
	}
	if other := a.do("POST", "/tasks/groups/", `{"id":"`+id+`","name":"other"}`); other.status != http.StatusConflict || other.body["error"] != queue.ErrGroupExists.Error() {
		t.Errorf("another group: %d %s", other.status, other.text)
	}
	closed := a.do("POST", "/tasks/groups/"+id+"/close/", "")
	if closed.status != http.StatusOK || a.groupOf(closed)["state"] != "running" || a.groupOf(closed)["closed_at"] == nil {
		t.Errorf("close: %d %s", closed.status, closed.text)
	}
	if late := a.do("POST", "/tasks/enqueue/", `{"task":"t.echo","args":1,"group_id":"`+id+`"}`); late.status != http.StatusConflict || late.body["error"] != queue.ErrGroupClosed.Error() {
		t.Errorf("a task for a closed group: %d %s", late.status, late.text)
	}
	a.do("POST", "/tasks/execute/"+member+"/", "")
	if done := a.groupOf(a.do("GET", "/tasks/groups/"+id, "")); done["state"] != "succeeded" || done["successful_count"] != 1.0 || done["succeeded_at"] == nil {
		t.Errorf("succeeded: %v", done)
	}
	end := a.do("GET", "/tasks/result/"+success["id"].(string)+"/", "").body["result"].(map[string]any)
	if end["completes_group"] != id || end["status"] != "READY" || end["priority"] != 3.0 {
		t.Errorf("what the group has enqueued: %v", end)
	}
}

func TestTheTasksOfAGroupAreCancelled(t *testing.T) {
	a := newAPI(t, nil)
	id := a.groupOf(a.do("POST", "/tasks/groups/", `{"on_failure":{"task":"t.echo","args":"bad"}}`))["id"].(string)
	for range 3 {
		a.enqueue(`{"task":"t.echo","args":1,"group_id":"` + id + `"}`)
	}
	cancelled := a.do("POST", "/tasks/groups/"+id+"/cancel/", "{}")
	if g := a.groupOf(cancelled); cancelled.status != http.StatusOK || cancelled.body["cancelled"] != 3.0 || g["cancelled_count"] != 3.0 || g["state"] != "open" || g["failed_at"] == nil {
		t.Errorf("cancel: %d %s", cancelled.status, cancelled.text)
	}
	if again := a.do("POST", "/tasks/groups/"+id+"/cancel/", ""); again.status != http.StatusOK || again.body["cancelled"] != 0.0 {
		t.Errorf("cancel again: %d %s", again.status, again.text)
	}
	if end := a.do("GET", "/tasks/result/"+queue.CompletionID(uuid.MustParse(id), false).String()+"/", ""); end.status != http.StatusOK {
		t.Errorf("what the group has enqueued: %d %s", end.status, end.text)
	}
}

func TestGroupsAreListed(t *testing.T) {
	a := newAPI(t, nil)
	var want, got []string
	for range 3 {
		want = append([]string{a.groupOf(a.do("POST", "/tasks/groups/", ""))["id"].(string)}, want...)
	}
	for path := "/tasks/groups/?limit=2"; path != ""; {
		page := a.do("GET", path, "")
		if page.status != http.StatusOK {
			t.Fatalf("%d %s", page.status, page.text)
		}
		for _, g := range page.body["groups"].([]any) {
			got = append(got, g.(map[string]any)["id"].(string))
		}
		path = ""
		if next, ok := page.body["next"].(string); ok {
			path = "/tasks/groups/?limit=2&cursor=" + next
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("listed %v, want %v", got, want)
	}
}

func TestGroupRequestsThatAreRefused(t *testing.T) {
	a := newAPI(t, nil)
	none := uuid.NewString()
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"POST", "/tasks/groups/", `{"on_success":{"task":"other"}}`, http.StatusBadRequest, "on_success: "},
		{"POST", "/tasks/groups/", `{"on_success":{"args":1}}`, http.StatusBadRequest, "on_success: task must be"},
		{"POST", "/tasks/groups/", `{"on_failure":{"task":"t.echo","run_after":"2030-01-01T00:00:00Z"}}`, http.StatusBadRequest, "on_failure: "},
		{"POST", "/tasks/groups/", `{"on_failure":"t.echo"}`, http.StatusBadRequest, "on_failure: "},
		{"POST", "/tasks/groups/", `{"id":"7"}`, http.StatusBadRequest, "id must be a UUID"},
		{"POST", "/tasks/groups/", `{"title":"x"}`, http.StatusBadRequest, "on_success"},
		{"POST", "/tasks/enqueue/", `{"task":"t.echo","group_id":"7"}`, http.StatusBadRequest, "group_id must be the UUID of a group"},
		{"POST", "/tasks/enqueue/", `{"task":"t.echo","group_id":"` + none + `"}`, http.StatusNotFound, "Group not found"},
		{"GET", "/tasks/groups/7/", "", http.StatusNotFound, "Group not found"},
		{"GET", "/tasks/groups/" + none + "/", "", http.StatusNotFound, "Group not found"},
		{"POST", "/tasks/groups/" + none + "/close/", "", http.StatusNotFound, "Group not found"},
		{"POST", "/tasks/groups/" + none + "/cancel/", "", http.StatusNotFound, "Group not found"},
		{"POST", "/tasks/groups/" + none + "/cancel/", `{"all":true}`, http.StatusBadRequest, "none"},
		{"GET", "/tasks/groups/" + none + "/close/", "", http.StatusMethodNotAllowed, "use POST"},
		{"DELETE", "/tasks/groups/", "", http.StatusMethodNotAllowed, "use GET, POST"},
		{"GET", "/tasks/groups/?limit=0", "", http.StatusBadRequest, "limit must be"},
		{"GET", "/tasks/groups/?cursor=x", "", http.StatusBadRequest, "cursor"},
		{"GET", "/tasks/groups/?state=open", "", http.StatusBadRequest, "accepted: cursor, limit"},
	} {
		if got := a.do(c.method, c.path, c.body); got.status != c.status || !strings.Contains(got.text, c.text) {
			t.Errorf("%s %s %s: %d %s; want %d and %q", c.method, c.path, c.body, got.status, got.text, c.status, c.text)
		}
	}
}
