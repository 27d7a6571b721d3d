package admin_test

import (
	"context"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

// exec changes the database as no API does.
func (s *site) exec(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.db.ExecContext(s.t.Context(), statement, args...); err != nil {
		s.t.Fatal(err)
	}
}

// Characters that turn the order of a text are written out where it is shown,
// and stay what they are in what is sent back.
func TestTurningCharactersAreVisible(t *testing.T) {
	s := newNight(t, nil)
	const name, shown = "pay\u202elibtoc\u2066s\u200f", `pay\u202elibtoc\u2066s\u200f`
	failed := s.someRow(queue.Selection{View: queue.ViewFailed, Task: "reports.render_pdf"})
	s.exec(`UPDATE claimcheck_tasks SET task_path = ?, error_text = ?, queue_name = ? WHERE id = ?`, name, name+" broke", name, failed.ID.String())
	list := "/admin/tasks?view=failed&task=" + url.QueryEscape(name)
	for _, path := range []string{"/admin/", list, "/admin/tasks/" + failed.ID.String(), "/admin/confirm?all=retry&view=failed&task=" + url.QueryEscape(name)} {
		body := s.get(path).Body.String()
		if !strings.Contains(body, shown) {
			t.Errorf("%s does not show it", path)
		}
		for i, part := range strings.Split(body, "<") {
			if _, text, _ := strings.Cut(part, ">"); strings.ContainsAny(text, "\u202e\u2066\u200f") {
				t.Errorf("%s: part %d turns: <%s", path, i, part)
			}
		}
	}
	if body := s.get(list).Body.String(); !strings.Contains(body, `name="task" value="`+name+`"`) || len(listed(body)) != 1 {
		t.Error("the filter is not what was written")
	}
	form := formOf(s.get("/admin/confirm?all=retry&view=failed&task=" + url.QueryEscape(name)).Body.String())
	s.follow(s.post("/admin/act", form))
	if row := s.row(failed.ID); row.Status != queue.StatusReady {
		t.Errorf("the task is %s", row.Status)
	}
}

// Names of 200 characters without a space fit on every page.
func testLongNames(t *testing.T, browser context.Context) {
	s := newNight(t, nil)
	long := strings.Repeat("x", 200)
	failed := s.someRow(queue.Selection{View: queue.ViewFailed, Task: "reports.render_pdf"})
	stranded := s.someRow(queue.Selection{View: queue.ViewPending, Stranded: true})
	for _, row := range []*queue.Row{failed, stranded} {
		s.exec(`UPDATE claimcheck_tasks SET task_path = ?, dispatch_error = ? WHERE id = ?`, long, long, row.ID.String())
	}
	b := newTab(t, browser, s)
	for _, width := range []int64{1400, 375} {
		b.look(false, width, 900)
		for _, path := range []string{
			"/admin/tasks/" + failed.ID.String(), "/admin/tasks/" + stranded.ID.String(), "/admin/tasks?task=" + long,
			"/admin/confirm?all=retry&view=failed&task=" + long, "/admin/workers", "/admin/",
		} {
			b.open(path)
			b.until(`!document.querySelector("[data-again]")`)
			b.fits(fmt.Sprintf("%.30s at %d", path, width))
		}
		b.picture(fmt.Sprintf("long-overview-%d", width), true)
		b.open("/admin/tasks/" + failed.ID.String())
		b.picture(fmt.Sprintf("long-task-%d", width), false)
	}
	if got := eval[string](b, `getComputedStyle(document.querySelector("main a")).unicodeBidi`); got != "isolate" {
		t.Errorf("links are not isolated: %s", got)
	}
}

// Words fit their numbers.
func TestOneAttemptIsOne(t *testing.T) {
	s := newNight(t, nil)
	failed := s.someRow(queue.Selection{View: queue.ViewFailed, Task: "reports.render_pdf"})
	s.exec(`UPDATE claimcheck_tasks SET attempts = 1, max_attempts = 1 WHERE id = ?`, failed.ID.String())
	if body := html.UnescapeString(s.get("/admin/tasks/" + failed.ID.String()).Body.String()); !strings.Contains(body, "its only attempt is used") {
		t.Error("one attempt is not one")
	}
}
