package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// quoted is a text as JSON.
func quoted(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// plain is the text of a page's main part, without its marks.
func plain(body string) string {
	body = body[strings.Index(body, "<main"):]
	return strings.Join(strings.Fields(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(body, " "))), " ")
}

func TestNumbersAndTextsOfArgumentsStayAsTheyAre(t *testing.T) {
	s := newSite(t, nil)
	id := s.enqueue("search.reindex", `{"order":123456789012345678901234567890,"rate":1.10,"tiny":1e-7,"name":"Zoë <b>","list":[1,2]}`)
	body := s.get("/admin/tasks/" + id.String()).Body.String()
	for _, want := range []string{"123456789012345678901234567890", "1.10", "1e-7", "Zoë \\u003cb\\u003e"} {
		if !strings.Contains(html.UnescapeString(body), want) && !strings.Contains(html.UnescapeString(body), strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(want)) {
			t.Errorf("%s is not shown", want)
		}
	}
	long := s.enqueue("search.reindex", `"`+strings.Repeat("x", 200_000)+`"`)
	short := s.get("/admin/tasks/" + long.String()).Body.Len()
	whole := s.get("/admin/tasks/" + long.String() + "?whole=1").Body.Len()
	if short > 60_000 || whole < 200_000 {
		t.Errorf("%d bytes at first, %d bytes whole", short, whole)
	}
}

// run makes one attempt of a task.
func (s *site) run(exec *queue.Executor, id uuid.UUID) {
	s.t.Helper()
	if _, err := exec.RunByID(s.t.Context(), id, queue.RunOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func TestTimelineShowsEveryAttempt(t *testing.T) {
	attempts := 0
	registry := queue.NewRegistry(queue.NewTask("t.flaky", func(_ context.Context, _ any) (string, error) {
		switch attempts++; attempts {
		case 1:
			return "", fmt.Errorf("load order 7: %w", errors.New("connection refused"))
		case 2:
			panic("index out of range")
		}
		return "done at last", nil
	}))
	s := newSite(t, func(_ *admin.Config, q *queue.Config) { q.Registry = registry })
	exec, err := queue.NewExecutor(s.client, queue.ExecutorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	id := s.enqueue("t.flaky", `null`)
	path := "/admin/tasks/" + id.String()
	if text := plain(s.get(path).Body.String()); !strings.Contains(text, "No attempt yet") || !strings.Contains(text, "the sweeper dispatches it again") {
		t.Errorf("before: %s", text)
	}
	s.run(exec, id)
	if text := plain(s.get(path).Body.String()); !strings.Contains(text, "Attempt 1 failed") || !strings.Contains(text, "load order 7: connection refused") || !strings.Contains(text, "Attempts used: 1 of 10") {
		t.Errorf("after the first: %s", text)
	}
	s.run(exec, id)
	s.run(exec, id)
	text := plain(s.get(path).Body.String())
	for _, want := range []string{"SUCCESSFUL", "Attempt 3 succeeded", "Attempt 2 failed", "index out of range", "goroutine", "Attempt 1 failed", "Result \"done at last\""} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Index(text, "Attempt 3") > strings.Index(text, "Attempt 1") {
		t.Error("the latest attempt is not the first")
	}
}

func TestRedactedTasksShowNothingOfTheirArguments(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) {
		c.Redact = func(task string) bool { return task == "billing.charge_card" }
	})
	id := s.enqueue("billing.charge_card", `{"order":1,"cents":4,"method":"pst-secret"}`).String()
	for _, path := range []string{"/admin/tasks/" + id, "/admin/tasks/" + id + "?whole=1", "/admin/types/billing.charge_card?from=" + id, "/admin/types/search.reindex?from=" + id, "/admin/tasks"} {
		if body := s.get(path).Body.String(); strings.Contains(body, "pst-secret") {
			t.Errorf("%s shows it", path)
		}
	}
	if body := s.get("/admin/tasks/" + id).Body.String(); !strings.Contains(body, "redacted") {
		t.Error("nothing says that it is redacted")
	}
}

func TestTheFailureOfARedactedTaskShowsNothingOfItsArguments(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) {
		c.Redact = func(task string) bool { return task == "billing.charge_card" }
	})
	args, err := json.Marshal(queue.Failed{
		ID: uuid.New(), Task: "billing.charge_card", Args: json.RawMessage(`{"method":"pst-secret"}`), Errors: []queue.AttemptError{{Message: "declined"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	more := append(args[:len(args)-1:len(args)-1], `,"more":1}`...) // as another version makes it
	for args, want := range map[string]string{string(args): "declined", string(more): "redacted"} {
		id := s.enqueue("search.reindex", args).String()
		for _, path := range []string{"/admin/tasks/" + id, "/admin/tasks/" + id + "?whole=1", "/admin/types/search.reindex?from=" + id, "/admin/tasks"} {
			if body := s.get(path).Body.String(); strings.Contains(body, "pst-secret") {
				t.Errorf("%s shows it", path)
			}
		}
		if body := s.get("/admin/tasks/" + id).Body.String(); !strings.Contains(body, want) || !strings.Contains(body, "redacted") {
			t.Errorf("no %q, or nothing says that it is redacted", want)
		}
	}
	id := s.enqueue("search.reindex", strings.Replace(string(args), "billing.charge_card", "search.other", 1)).String()
	if body := s.get("/admin/tasks/" + id).Body.String(); !strings.Contains(body, "pst-secret") {
		t.Error("that of another task is hidden")
	}
}

func TestCurlCommandsAreQuoted(t *testing.T) {
	s := newSite(t, nil)
	id := s.enqueue("search.reindex", `{"q":"it's $(rm -rf /)"}`).String()
	body := html.UnescapeString(s.get("/admin/tasks/" + id).Body.String())
	if !strings.Contains(body, `-d '{"task":"search.reindex","args":{"q":"it'\''s $(rm -rf /)"}`) || !strings.Contains(body, `"$BASE_URL/tasks/execute/`+id+`/"`) {
		t.Errorf("no such commands in %s", body[strings.Index(body, "As curl commands"):])
	}
}

func TestLinksElsewhereAreOnlyWebLinks(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) {
		c.Links = func(*queue.Row) []admin.Link {
			return []admin.Link{{Name: "Logs", URL: "https://logs.example/x?y=1"}, {Name: "Evil", URL: "javascript:alert(1)"}}
		}
	})
	body := s.get("/admin/tasks/" + s.enqueue("search.reindex", `{}`).String()).Body.String()
	if !strings.Contains(body, `href="https://logs.example/x?y=1"`) || strings.Contains(body, "Evil") {
		t.Error(body)
	}
}

func TestEnqueueForm(t *testing.T) {
	s := newSite(t, nil)
	form := formOf(s.get("/admin/types/billing.charge_card").Body.String())
	fields := map[string]string{"args/order": "12345678901234567890", "args/cents": "5", "args/method": "card", "queue": "billing", "backend": "default", "priority": "12", "when": "2h"}
	for name, value := range fields {
		form.Set(name, value)
	}
	w := s.post("/admin/enqueue", form)
	page := s.follow(w)
	if got := match(noticeText, page.Body.String()); !strings.HasPrefix(got, "Enqueued.") {
		t.Fatalf("notice %q", got)
	}
	row := s.row(uuid.MustParse(strings.TrimPrefix(w.Header().Get("Location"), "/admin/tasks/")))
	if row.Priority != 12 || row.Queue != "billing" || row.RunAfter.IsZero() || string(row.Args) != `{"order":12345678901234567890,"cents":5,"method":"card"}` {
		t.Errorf("%+v", row)
	}
	again := s.post("/admin/enqueue", form) // a double click
	if got := match(noticeText, s.follow(again).Body.String()); again.Header().Get("Location") != w.Header().Get("Location") || !strings.HasPrefix(got, "It was already enqueued") {
		t.Errorf("the same again: %q", got)
	}
	if log := s.get("/admin/audit").Body.String(); strings.Count(log, "<b>enqueue</b>") != 1 {
		t.Error("it is not once in the audit log")
	}
}

func TestEnqueueFormKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t, nil)
	for _, c := range []struct{ field, value, says string }{
		{"args", "{\n  \"order\": ,\n}", "This is not JSON: invalid character ',' looking for beginning of value (line 2, column 12)"},
		{"args", `{"order":1,"cents":"five"}`, "cents: cannot use a JSON string as int"},
		{"args", ``, "This is not JSON"},
		{"args", `{"a":"\u0000"}`, "U+0000"},
		{"queue", "no spaces here", "use 1 to 100 letters"},
		{"priority", "101", "from -100 to 100"},
		{"priority", "high", "whole number"},
		{"when", "tomorrow", "Enter how long to wait"},
		{"backend", "elsewhere", "is not known; known: default"},
		{"key", strings.Repeat("k", 201), "Use at most 200 bytes."},
		{"for", "ever", "Enter unfinished, kept or a length of time such as 1h."},
	} {
		form := url.Values{"key": {"k"}, "task": {"billing.charge_card"}, "args": {`{}`}, "queue": {"billing"}, "priority": {"0"}, "backend": {"default"}, "when": {""}}
		form.Set(c.field, c.value)
		w := s.post("/admin/enqueue", form)
		body := html.UnescapeString(w.Body.String())
		if w.Code != 422 || !strings.Contains(body, c.says) || !strings.Contains(body, c.value) || !strings.Contains(body, `id="w-`+c.field+`"`) {
			t.Errorf("%s %q: %d, want %q in %s", c.field, c.value, w.Code, c.says, plain(body))
		}
	}
	if page, err := s.operator().List(t.Context(), queue.ListRequest{Limit: 1}); err != nil || len(page.Rows) > 0 {
		t.Error("something was stored")
	}
}

func TestEnqueueFormOfAFullQueue(t *testing.T) {
	s := newSite(t, func(_ *admin.Config, q *queue.Config) { q.MaxBacklog = map[string]int{"": 1} })
	s.enqueue("search.reindex", `{}`, queue.OnQueue("small"))
	form := url.Values{"task": {"search.reindex"}, "args": {`{"index":"kept"}`}, "queue": {"small"}, "priority": {"0"}, "backend": {"default"}}
	w := s.post("/admin/enqueue", form)
	if body := html.UnescapeString(w.Body.String()); w.Code != 422 || !strings.Contains(body, `Queue_name "small": the queue's backlog is full: it has 1 READY tasks, and may have 1`) || !strings.Contains(body, "kept") || !strings.Contains(body, `id="w-queue"`) {
		t.Errorf("%d %s", w.Code, plain(body))
	}
}

func TestUniqueKeysOnThePages(t *testing.T) {
	s := newSite(t, nil)
	send := func(key, held string) (page, id string) {
		form := formOf(s.get("/admin/types/billing.charge_card").Body.String())
		form.Set("args/order", "1")
		form.Set("key", key)
		form.Set("for", held)
		w := s.post("/admin/enqueue", form)
		return s.follow(w).Body.String(), w.Header().Get("Location")
	}
	page, id := send("order 1 <b>", "")
	if !strings.Contains(page, "order 1 &lt;b&gt;") || !strings.Contains(page, "held until the task has ended") {
		t.Error(page)
	}
	if again, same := send("order 1 <b>", "kept"); same != id || !strings.HasPrefix(match(noticeText, again), "It was already enqueued") {
		t.Errorf("again: %s, want %s", same, id)
	}
	row := uuid.MustParse(strings.TrimPrefix(id, "/admin/tasks/"))
	if _, _, err := s.client.Cancel(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if page := s.get(id).Body.String(); !strings.Contains(page, "no longer held") {
		t.Error(page)
	}
	for held, says := range map[string]string{"kept": "held until the task is deleted", "1h": "held until <"} {
		if page, other := send("for "+held, held); other == id || !strings.Contains(page, says) {
			t.Errorf("%s: %s", held, page)
		}
	}
}

func TestEnqueueAgainTakesTheArgumentsOver(t *testing.T) {
	s := newSite(t, nil)
	id := s.enqueue("billing.charge_card", `{"order":98765432109876543210,"cents":5,"method":"<card>"}`, queue.Priority(3), queue.OnQueue("slow")).String()
	body := html.UnescapeString(s.get("/admin/types/billing.charge_card?from=" + id).Body.String())
	for _, want := range []string{"98765432109876543210", `value="slow"`, `value="3"`, "an earlier task"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestAnAttemptWhoseLeaseHasExpiredIsNotSaidToRun(t *testing.T) {
	s := newNight(t, nil)
	row := s.someRow(queue.Selection{View: queue.ViewRunning})
	if !row.LeaseExpiresAt.Before(time.Now()) {
		t.Fatalf("its lease has not expired: %v", row.LeaseExpiresAt)
	}
	text := plain(s.get("/admin/tasks/" + row.ID.String()).Body.String())
	for _, want := range []string{"Attempt 1: its lease expired", "Lease expired "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Contains(text, "is running") || strings.Contains(text, "Lease expires") {
		t.Error(text)
	}
}
