package admin_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var pickedID = regexp.MustCompile(`name="pick" value="([^"]*)"`)

// listed is the IDs of a list's page.
func listed(body string) (ids []string) {
	for _, m := range pickedID.FindAllStringSubmatch(body, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

func TestFiltersChooseTasks(t *testing.T) {
	s := newSite(t, nil)
	welcome := s.enqueue("emails.send_welcome", `{}`)
	receipt := s.enqueue("emails.send_receipt", `{}`, queue.Priority(7))
	hook := s.enqueue("webhook.deliver", `{}`, queue.Delay(time.Hour))
	soon := time.Now().UTC().Add(time.Minute).Format("2006-01-02T15:04:05Z")
	for query, want := range map[string][]uuid.UUID{
		"":                                     {hook, receipt, welcome},
		"order=reverse":                        {welcome, receipt, hook},
		"task=emails.*":                        {receipt, welcome},
		"task=emails.send_receipt":             {receipt},
		"queue=webhooks":                       {hook},
		"view=delayed":                         {hook},
		"view=pending":                         {welcome, receipt}, // priority first
		"priority=7":                           {receipt},
		"since=1h":                             {hook, receipt, welcome},
		"until=1h":                             nil,
		"until=" + soon:                        {hook, receipt, welcome},
		"since=" + soon:                        nil,
		"backend=other":                        nil,
		"view=failed":                          nil,
		"stranded=1":                           nil,
		"error=timeout":                        nil,
		"task=+emails.*+&queue=":               {receipt, welcome},
		fmt.Sprintf("id=%s,%s", hook, receipt): {hook, receipt},
	} {
		var ids []string
		for _, id := range want {
			ids = append(ids, id.String())
		}
		w := s.get("/admin/tasks?" + query)
		if got := listed(w.Body.String()); w.Code != 200 || strings.Join(got, " ") != strings.Join(ids, " ") {
			t.Errorf("%s: %d\n got %v\nwant %v", query, w.Code, got, ids)
		}
	}
	// One ID alone leads to its task.
	if w := s.get("/admin/tasks?id=" + hook.String()); w.Header().Get("Location") != "/admin/tasks/"+hook.String() {
		t.Errorf("an ID leads to %q", w.Header().Get("Location"))
	}
}

func TestWrongFiltersSayWhatIsWrongAndListNothing(t *testing.T) {
	s := newSite(t, nil)
	s.enqueue("emails.send_welcome", `{}`)
	for query, says := range map[string]string{
		"since=yesterday":  "Enter a time in UTC",
		"until=-1h":        "Enter a time in UTC",
		"priority=high":    "Enter a whole number",
		"id=x123":          "is neither a task ID nor the beginning of one",
		"view=everything":  "is not known",
		"after=%00garbage": "after must be",
		"task=%00":         `id="w-task">This is not text`,
		"task=a%ffb":       `id="w-task">This is not text`,
		"queue=%00x":       `id="w-queue">This is not text`,
		"error=%c3%28":     `id="w-error">This is not text`,
		"backend=%00":      `id="w-backend">This is not text`,
		"group=%00":        "This is not text",
		"status=FAILED":    "There is no filter &#34;status&#34;. The filters are: view, task, queue",
		"Task=emails.*":    "There is no filter &#34;Task&#34;",

		"task=a&task=b":                 `id="w-task">&#34;task&#34; is given more than once`,
		"view=failed&view=failed":       "&#34;view&#34; is given more than once",
		"text=a&text=":                  "&#34;text&#34; is given more than once",
		"id=0&id=1":                     `id="w-id">&#34;id&#34; is given more than once`,
		"args.user_id=1&args.user_id=2": "&#34;args.user_id&#34; is given more than once",
		"stranded=1&stranded=1":         "&#34;stranded&#34; is given more than once",
		"find=a&find=b":                 "There is no filter &#34;find&#34;",
		"order=reverse&order=":          "&#34;order&#34; is given more than once",
	} {
		w := s.get("/admin/tasks?" + query)
		if body := w.Body.String(); w.Code != 400 || !strings.Contains(body, says) || len(listed(body)) > 0 || strings.Contains(body, `name="all"`) {
			t.Errorf("%s: %d %s", query, w.Code, body[strings.Index(body, "<main"):])
		}
	}
}

// What is no text, or no filter, is refused before anything is done or noted.
func TestActionsRefuseFiltersThatAreNone(t *testing.T) {
	s := newSite(t, nil)
	s.enqueue("emails.send_welcome", `{}`)
	for _, query := range []string{"task=%00", "task=%ff", "error=%00", "queue=%00", "group=%00", "status=FAILED",
		"args.user_id=4711&args.user_id=1", "view=pending&view=all", "queue=a&queue=", "since=1h&since=2h", "after=&after=x"} {
		if w := s.get("/admin/confirm?all=cancel&" + query); w.Code != 400 {
			t.Errorf("confirm %s: %d", query, w.Code)
		}
		form, err := url.ParseQuery("all=cancel&expected=1&" + query)
		if err != nil {
			t.Fatal(err)
		}
		if w := s.post("/admin/act", form); w.Code != 400 {
			t.Errorf("act %s: %d", query, w.Code)
		}
	}
	if notes, err := s.operator().AuditLog(t.Context(), uuid.Nil, time.Time{}, 9); err != nil || len(notes) > 0 {
		t.Errorf("the audit log: %v %v", notes, err)
	}
	for _, query := range []string{"order=reverse&after=", "gcp-iap-mode=SESSION_REFRESH", "authuser=1", "back=/admin/"} {
		if w := s.get("/admin/tasks?" + query); w.Code != 200 {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
}

func TestListsArePaged(t *testing.T) {
	s := newNight(t, nil)
	seen := map[string]bool{}
	path, pages := "/admin/tasks?view=failed&task=billing.*", 0
	next := regexp.MustCompile(`href="([^"]*)" rel="next"`)
	for path != "" {
		body := s.get(path).Body.String()
		for _, id := range listed(body) {
			if seen[id] {
				t.Fatalf("%s is listed twice", id)
			}
			seen[id] = true
		}
		if pages > 0 && !strings.Contains(body, "First page") {
			t.Error("no way back to the first page")
		}
		path, pages = match(next, body), pages+1
	}
	if len(seen) != 371 || pages != 8 {
		t.Errorf("%d tasks on %d pages", len(seen), pages)
	}
}

// hostile is text that must be inert wherever it comes from.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>'{{.}}`

func TestHostileTextIsInert(t *testing.T) {
	s := newSite(t, nil)
	name, kind := "evil"+hostile, "*evil.Error"+hostile
	id := uuid.Must(uuid.NewV7())
	group, text := queue.LastError([]queue.AttemptError{{ExceptionClassPath: kind, Message: hostile}})
	now := time.Now().UnixMicro()
	insert := `INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, args, enqueued_at, status, hold, attempts, max_attempts,
		last_attempted_at, finished_at, errors, error_group, error_text, worker_ids, dispatch_error, dispatch_due_at, lease_expires_at)
		VALUES (?, ?, ?, 'default', 0, ?, ?, ?, 0, 1, 1, ?, ?, ?, ?, ?, ?, ?, 0, ?)`
	args := `{"a":` + quoted(hostile) + `}`
	history := `[{"exception_class_path":` + quoted(kind) + `,"message":` + quoted(hostile) + `,"traceback":` + quoted("stack "+hostile) + `,"attempt":1,"at":"2026-01-01T00:00:00Z"}]`
	for i, status := range []string{"FAILED", "READY", "RUNNING"} {
		if i > 0 {
			id = uuid.Must(uuid.NewV7())
		}
		var finished, lease any
		switch status {
		case "FAILED":
			finished = now
		case "RUNNING":
			lease = 1
		}
		if _, err := s.db.Exec(insert, id.String(), name, "queue"+hostile, args, now, status, now, finished, history, group, text, `[`+quoted("worker"+hostile)+`]`, hostile, lease); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.client.RecordAudit(t.Context(), hostile, hostile, id, hostile); err != nil {
		t.Fatal(err)
	}
	failed := s.someRow(queue.Selection{View: queue.ViewFailed}).ID.String()
	q := strings.NewReplacer("%", "%25", "&", "%26", "#", "%23", " ", "+", "+", "%2B").Replace(hostile)
	for _, path := range []string{
		"/admin/", "/admin/tasks", "/admin/tasks?view=failed", "/admin/tasks/" + failed, "/admin/tasks/" + id.String(), "/admin/queues", "/admin/workers", "/admin/audit",
		"/admin/tasks?task=" + q + "&queue=" + q + "&error=" + q + "&group=" + q + "&since=" + q + "&id=" + q + "&priority=" + q + "&view=" + q,
		"/admin/confirm?do=retry&pick=" + failed, "/admin/confirm?all=retry&view=failed&error=" + q[:10] + "&back=" + q, "/admin/types/" + strings.ReplaceAll(q, "+", "%20"),
	} {
		body := s.get(path).Body.String()
		for _, live := range []string{"<script>alert", "<img", "onerror=alert(2)>'"} {
			if strings.Contains(body, live) {
				t.Errorf("%s has %q", path, live)
			}
		}
	}
	if body := s.get("/admin/tasks/" + failed).Body.String(); !strings.Contains(body, "&lt;script&gt;alert(1)") {
		t.Error("the text is not shown at all")
	}
}
