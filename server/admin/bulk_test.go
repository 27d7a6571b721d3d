package admin_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

var (
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	firstH1     = regexp.MustCompile(`(?s)<h1[^>]*>(.*?)</h1>`)
	noticeText  = regexp.MustCompile(`(?s)<p class="notice[^>]*>.*?<span>(.*?)</span></p>`)
)

// formOf is the hidden fields of a page's main form, as a browser sends them.
func formOf(body string) url.Values {
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(body[strings.Index(body, "<main"):], -1) {
		form.Add(m[1], html.UnescapeString(m[2]))
	}
	return form
}

func match(pattern *regexp.Regexp, body string) string {
	if m := pattern.FindStringSubmatch(body); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// What the on-call engineer does, without JavaScript: overview, button, button.
func TestRetryAllOfAKindInTwoClicks(t *testing.T) {
	s := newNight(t, nil)
	overview := s.get("/admin/").Body.String()
	link := regexp.MustCompile(`href="(/admin/confirm\?[^"]*)">Retry all 371<`).FindStringSubmatch(overview)
	if link == nil {
		t.Fatal("no button for the largest group")
	}
	confirm := s.get(html.UnescapeString(link[1])).Body.String() // click 1
	if got := match(firstH1, confirm); got != "Retry 371 tasks?" {
		t.Fatalf("confirmation: %q", got)
	}
	done := s.post("/admin/act", formOf(confirm)) // click 2
	page := s.follow(done).Body.String()
	if got := match(noticeText, page); got != "371 tasks are READY again." {
		t.Errorf("notice: %q", got)
	}
	if strings.Contains(page, "Retry all 371") || !strings.Contains(page, "Retry all 128") {
		t.Error("the overview is not what it should be afterwards")
	}
	log := s.get("/admin/audit").Body.String()
	if !strings.Contains(log, "<b>retry</b>") || !strings.Contains(log, "371 tasks") || !strings.Contains(log, "failed tasks named billing.charge_card") || !strings.Contains(log, `>ops</td>`) {
		t.Errorf("the audit log: %s", log)
	}
}

// refusing is a dispatcher that refuses some tickets.
type refusing struct{ most int }

func (r *refusing) Dispatch(_ context.Context, tickets ...queue.Ticket) error {
	failed := map[uuid.UUID]error{}
	for _, ticket := range tickets[:min(r.most, len(tickets))] {
		failed[ticket.ID] = context.DeadlineExceeded
	}
	r.most -= len(failed)
	if len(failed) == 0 {
		return nil
	}
	return &queue.DispatchError{Failed: failed}
}

func TestResultsAreSaidInWords(t *testing.T) {
	s := newNight(t, func(_ *admin.Config, q *queue.Config) { q.Dispatcher = &refusing{2} })
	page, err := s.operator().List(t.Context(), queue.ListRequest{Selection: queue.Selection{View: queue.ViewFailed, Task: "webhook.deliver"}, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	ready := s.someRow(queue.Selection{View: queue.ViewPending, Task: "webhook.deliver"})
	form := url.Values{"do": {"retry"}, "pick": {ready.ID.String()}, "back": {"/admin/tasks?view=failed"}}
	for _, row := range page.Rows {
		form.Add("pick", row.ID.String())
	}
	w := s.post("/admin/act", form)
	if got, want := match(noticeText, s.follow(w).Body.String()), "10 tasks are READY again. 2 could not be dispatched; the sweeper will dispatch them. 1 was skipped. Only FAILED tasks can be retried."; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	w = s.post("/admin/act", form)
	if got := match(noticeText, s.follow(w).Body.String()); got != "Nothing was changed. 11 were skipped. Only FAILED tasks can be retried." {
		t.Errorf("again: %q", got)
	}
}

func TestEachActionDoesWhatItIsFor(t *testing.T) {
	s := newNight(t, nil)
	for _, c := range []struct {
		do   string
		of   queue.Selection
		want queue.Status
	}{
		{"retry", queue.Selection{View: queue.ViewFailed, Task: "reports.render_pdf"}, queue.StatusReady},
		{"run", queue.Selection{View: queue.ViewDelayed}, queue.StatusReady},
		{"requeue", queue.Selection{View: queue.ViewRunning}, queue.StatusReady},
		{"cancel", queue.Selection{View: queue.ViewPending}, queue.StatusCancelled},
	} {
		row := s.someRow(c.of)
		s.follow(s.post("/admin/act", url.Values{"do": {c.do}, "pick": {row.ID.String()}}))
		after := s.row(row.ID)
		if after.Status != c.want || !after.RunAfter.IsZero() || after.Attempts > after.MaxAttempts-1 && c.want == queue.StatusReady {
			t.Errorf("%s: %+v", c.do, after)
		}
	}
}

func TestConfirmationSaysWhenThereIsNothingToDo(t *testing.T) {
	s := newNight(t, nil)
	body := s.get("/admin/confirm?all=retry&view=failed&task=no.such.task").Body.String()
	if match(firstH1, body) != "Nothing to do" || strings.Contains(body, "/admin/act") {
		t.Errorf("%s", body)
	}
	for _, query := range []string{"do=retry", "do=destroy&pick=" + uuid.NewString(), "all=retry&since=long+ago", "all=&do=", "do=retry&pick=7", "all=retry&view=none"} {
		if w := s.get("/admin/confirm?" + query); w.Code != 400 {
			t.Errorf("%s: %d", query, w.Code)
		}
		values, _ := url.ParseQuery(query)
		if w := s.post("/admin/act", values); w.Code != 400 {
			t.Errorf("act %s: %d", query, w.Code)
		}
	}
}

// A filter that says "since 2h" means the same two hours when it is applied.
// Nothing is said of tasks that are not there.
func TestConfirmationOfASearchThatNothingMatches(t *testing.T) {
	s := newNight(t, nil)
	text := plain(s.get("/admin/confirm?view=successful&text=zzzzqq&all=delete").Body.String())
	if !strings.Contains(text, "No matching task can be changed.") || strings.Contains(text, "gone already") {
		t.Errorf("%s", text)
	}
}

func TestConfirmedTimesDoNotMoveOn(t *testing.T) {
	s := newNight(t, nil)
	form := formOf(s.get("/admin/confirm?all=retry&view=failed&since=2h").Body.String())
	if since := form.Get("since"); !strings.HasSuffix(since, "Z") {
		t.Errorf("since is %q", since)
	}
}

// An action that takes longer than a request may is continued by the next.
func TestLongActionsContinue(t *testing.T) {
	s := newNight(t, nil)
	form := formOf(s.get("/admin/confirm?all=retry&view=failed&task=billing.charge_card").Body.String())
	act := func(ctx context.Context) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "http://tasks.example/admin/act", strings.NewReader(form.Encode())).WithContext(ctx)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return s.do(r, "Sec-Fetch-Site", "same-origin")
	}
	over, stop := context.WithCancel(t.Context())
	stop()
	if w := act(over); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "Timed out") {
		t.Errorf("with no time at all: %d", w.Code)
	}
	ctx, stop := context.WithCancel(t.Context())
	s.store.onAct(stop) // the time is over after one batch
	first := act(ctx)
	body := first.Body.String()
	if first.Code != http.StatusOK || !strings.Contains(body, "data-continue") || match(firstH1, body) != "Retry: in progress" || !strings.Contains(body, "200 of 371 tasks are done") {
		t.Fatalf("%d %s", first.Code, body)
	}
	form = formOf(body)
	if said := match(noticeText, s.follow(act(t.Context())).Body.String()); said != "371 tasks are READY again." {
		t.Errorf("at the end: %q", said)
	}
}

// The form stores arguments with fields that the type does not have, and says
// that the task ignores them; a strict client's form refuses them at the field.
func TestEnqueueFormNamesFieldsThatTheTypeLacks(t *testing.T) {
	const want = "unknown field args.nn; did you mean n?"
	typed := func(_ *admin.Config, q *queue.Config) {
		q.Registry = queue.NewRegistry(queue.NewTask("typed", func(context.Context, struct {
			N int `json:"n"`
		}) (any, error) {
			return nil, nil
		}))
	}
	form := url.Values{"task": {"typed"}, "args": {`{"nn":1}`}}
	s := newSite(t, typed)
	if page := s.follow(s.post("/admin/enqueue", form)).Body.String(); !strings.Contains(page, "The task ignores some of its arguments: "+want) {
		t.Errorf("no warning: %s", page)
	}
	if page := s.get("/admin/types/typed").Body.String(); !strings.Contains(page, "Unknown fields are ignored, with a warning.") {
		t.Errorf("the form does not say what becomes of unknown fields: %s", page)
	}
	strict := newSite(t, func(c *admin.Config, q *queue.Config) {
		typed(c, q)
		q.StrictArgs = true
	})
	if w := strict.post("/admin/enqueue", form); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "Args of typed: "+want) {
		t.Errorf("strict: %d %s", w.Code, w.Body)
	}
}

var (
	inputField  = regexp.MustCompile(`<input id="[^"]*" name="([^"]*)" value="([^"]*)"`)
	checkedBox  = regexp.MustCompile(`<input id="[^"]*" type="checkbox" name="([^"]*)" value="([^"]*)" checked`)
	areaField   = regexp.MustCompile(`(?s)<textarea id="[^"]*" name="([^"]*)"[^>]*>\n(.*?)</textarea>`)
	chosenField = regexp.MustCompile(`(?s)<select id="[^"]*" name="([^"]*)".*?<option (?:translate="no" )?value="([^"]*)" selected>`)
)

// typedIn is what a page's visible fields are filled with.
func typedIn(body string) url.Values {
	form := url.Values{}
	for _, kind := range []*regexp.Regexp{inputField, checkedBox, areaField, chosenField} {
		for _, m := range kind.FindAllStringSubmatch(body[strings.Index(body, "<main"):], -1) {
			form.Set(m[1], html.UnescapeString(m[2]))
		}
	}
	return form
}

// A task that the action will skip is not shown among those that it changes.
func TestConfirmationOfTasksOfWhichOneIsPaused(t *testing.T) {
	s := newSite(t, nil)
	form := url.Values{"do": {"run"}}
	for _, q := range []string{"emails", "billing"} {
		form.Add("pick", s.enqueue("emails.send_welcome", `{"user_id":1}`, queue.OnQueue(q)).String())
	}
	if _, err := s.client.PauseQueue(t.Context(), queue.GateRequest{Queue: "billing", Actor: "dana"}, nil); err != nil {
		t.Fatal(err)
	}
	page := plain(s.get("/admin/confirm?" + form.Encode()).Body.String())
	if !strings.Contains(page, "1 task will be changed; the others are skipped.") || !strings.Contains(page, "Selected: 2 tasks") || strings.Count(page, "emails.send_welcome") != 1 {
		t.Errorf("%s", page)
	}
}

// The tasks that a confirmation shows are those that it changes: of the running ones, those
// whose leases have expired.
func TestConfirmationOfARequeueShowsExpiredLeases(t *testing.T) {
	s := newNight(t, nil)
	rows, err := s.operator().List(t.Context(), queue.ListRequest{Selection: queue.Selection{View: queue.ViewRunning}, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	form, expired := url.Values{"do": {"requeue"}}, 0
	for i := range rows.Rows {
		row := rows.Rows[len(rows.Rows)-1-i] // the live ones first
		form.Add("pick", row.ID.String())
		if row.LeaseExpiresAt.Before(time.Now()) {
			expired++
		}
	}
	page := s.get("/admin/confirm?" + form.Encode()).Body.String()
	if expired == 0 || expired == len(rows.Rows) || strings.Count(page, `<li><span class="state lost">`) != expired || strings.Contains(page, `<li><span class="state running">`) || !strings.Contains(page, "All of them") {
		t.Errorf("%d of %d have expired: %s", expired, len(rows.Rows), page)
	}
}

// A confirmation that changes nothing says why, and not what is not so.
func TestConfirmationSaysWhyNothingIsChanged(t *testing.T) {
	s := newSite(t, nil)
	failed := s.enqueue("emails.send_welcome", `{"user_id":1}`, queue.Unique("k"))
	s.exec(`UPDATE claimcheck_tasks SET status = 'FAILED', finished_at = ?1, attempts = 1, hold = 0`, time.Now().UnixMicro())
	s.enqueue("emails.send_welcome", `{"user_id":1}`, queue.Unique("k"))
	for id, want := range map[string]string{
		failed.String():  "None of the selected tasks can be changed. Unfinished tasks hold the unique keys of the selected tasks.",
		uuid.NewString(): "None of the selected tasks can be changed. The selected tasks do not exist.",
	} {
		page := plain(s.get("/admin/confirm?do=retry&pick=" + id).Body.String())
		if !strings.Contains(page, want) || strings.Contains(page, "Only FAILED") {
			t.Errorf("%s", page)
		}
	}
}

// The cautions of a run are about tasks that match: not about due ones where it is for
// delayed ones, nor with a number where other filters choose.
func TestCautionsOfARunAreAboutItsTasks(t *testing.T) {
	s := newNight(t, nil)
	for range 3 {
		s.get("/admin/")
	}
	for query, want := range map[string]string{
		"view=delayed&queue=reports":            "",
		"view=pending&queue=reports":            "At least 6 of these are named reports.legacy_export",
		"view=pending&queue=reports&priority=0": "Tasks named reports.legacy_export may be among these, too.",
	} {
		page := plain(s.get("/admin/confirm?all=run&" + query).Body.String())
		if want == "" && strings.Contains(page, "legacy_export") || !strings.Contains(page, want) {
			t.Errorf("%s: %s", query, page)
		}
	}
}

// A notice is short enough for a cookie of any browser.
func TestNoticesFitIntoACookie(t *testing.T) {
	s := newSite(t, nil)
	form := url.Values{"do": {"run"}, "expected": {"60"}, "back": {"/admin/tasks"}}
	for i := range 60 {
		name := fmt.Sprintf("%060d", i)
		form.Add("pick", s.enqueue("emails.send_welcome", `{}`, queue.OnQueue(name)).String())
		if _, err := s.client.PauseQueue(t.Context(), queue.GateRequest{Queue: name, Actor: "dana"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	w := s.post("/admin/act", form)
	cookie := w.Header().Get("Set-Cookie")
	if w.Code != http.StatusSeeOther || len(cookie) < 1000 || len(cookie) > 4000 {
		t.Errorf("%d, a cookie of %d bytes", w.Code, len(cookie))
	}
}
