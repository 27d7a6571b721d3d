package admin_test

import (
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

// warned is one warning of the overview: what it says, and where it leads.
type warned struct{ title, why, show, act, button string }

var warningItem = regexp.MustCompile(`(?s)<li>\s*<div><h2>(.*?)</h2><p>(.*?)</p></div>\s*<p class="acts">(?:<a class="button" href="([^"]*)">Show</a>)?(?:<a class="button main" href="([^"]*)">(.*?)</a>)?`)

// warning is the warning whose title contains a text, once all is looked at.
func (s *site) warning(part string) warned {
	s.t.Helper()
	for range 4 {
		s.get("/admin/")
	}
	for _, m := range warningItem.FindAllStringSubmatch(s.get("/admin/").Body.String(), -1) {
		if strings.Contains(m[1], part) {
			return warned{html.UnescapeString(m[1]), html.UnescapeString(m[2]), html.UnescapeString(m[3]), html.UnescapeString(m[4]), m[5]}
		}
	}
	s.t.Fatalf("no warning with %q", part)
	return warned{}
}

func refusingAll(c *admin.Config, q *queue.Config) {
	c.Dispatches = true
	q.Dispatcher = &refusing{most: 1 << 30}
}

// Tickets that were refused strand tasks that are not due, too: the number, the
// list and the button are of the same ones.
func TestStrandedNumbersListsAndButtonsAgree(t *testing.T) {
	s := newSite(t, refusingAll)
	for range 3 {
		s.enqueue("search.reindex", `{}`, queue.Delay(24*time.Hour))
	}
	w := s.warning("stranded")
	if w.title != "3 tasks are stranded" || !strings.Contains(w.why, "A task that is not due yet gets its ticket from the sweeper") || !strings.HasSuffix(w.why, "could not be created (context deadline exceeded).") {
		t.Errorf("%+v", w)
	}
	if n := len(listed(s.get(w.show).Body.String())); n != 3 {
		t.Errorf("%s shows %d", w.show, n)
	}
	if got := match(firstH1, s.get(w.act).Body.String()); got != "Run 3 tasks now?" || w.button != "Run now" {
		t.Errorf("%q leads to %q", w.button, got)
	}
	for range 2 {
		s.enqueue("search.reindex", `{}`)
	}
	w = s.anew().warning("stranded")
	if w.title != "5 tasks are stranded" || len(listed(s.get(w.show).Body.String())) != 5 {
		t.Errorf("with tasks that are due: %+v", w)
	}
	if got := match(firstH1, s.get(w.act).Body.String()); got != "Run 5 tasks now?" {
		t.Errorf("with tasks that are due: %q", got)
	}
	// The list of all of them can be acted on.
	if page := s.get(w.show).Body.String(); !strings.Contains(page, `name="all" value="run"`) || strings.Contains(page, `value="retry"`) {
		t.Error("the wrong buttons")
	}
}

// Of many it is said how many were looked at, and for how many a reason is so.
func TestReasonsAreOfASample(t *testing.T) {
	s := newSite(t, func(c *admin.Config, q *queue.Config) {
		c.Dispatches = true
		q.Dispatcher = &refusing{most: 60}
	})
	for range 150 {
		s.enqueue("search.reindex", `{}`)
	}
	if _, err := s.db.ExecContext(t.Context(), `UPDATE claimcheck_tasks SET dispatch_due_at = dispatch_due_at - 86400000000`); err != nil {
		t.Fatal(err)
	}
	if w := s.warning("stranded"); w.title != "150 tasks are stranded" || !strings.Contains(w.why, "The ticket could not be created (context deadline exceeded). That is the cause for 60 of 100 in the sample. There is 1 other cause.") {
		t.Errorf("%+v", w)
	}
}

// More pending tasks than one look goes through do not hide the reason.
func TestReasonsAreFoundBehindManyPendingTasks(t *testing.T) {
	s := newSite(t, nil)
	s.enqueue("search.reindex", `{}`)
	columns := s.columns()
	for i, name := range columns {
		switch name {
		case "id":
			columns[i] = "printf('%08x-0000-7000-8000-%012x', i, i)"
		case "priority":
			columns[i] = "50"
		}
	}
	for _, statement := range []string{
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= %d)
			INSERT INTO claimcheck_tasks SELECT %s FROM claimcheck_tasks, n`, queue.ListWindow+100, strings.Join(columns, ", ")),
		`UPDATE claimcheck_tasks SET dispatch_due_at = 1 WHERE priority <> 50`,
	} {
		if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, why := range []string{"The cause is not known yet", "No worker that pulls from queue"} {
		if w := s.warning("stranded"); !strings.Contains(w.why, why) {
			t.Errorf("got %q, want %q", w.why, why)
		}
		// What is known is read anew, as it is some seconds later.
		s.post("/admin/act", url.Values{"do": {"cancel"}, "pick": {uuid.NewString()}})
	}
}

// columns are those of the table of tasks.
func (s *site) columns() (names []string) {
	s.t.Helper()
	rows, err := s.db.QueryContext(s.t.Context(), `SELECT name FROM pragma_table_info('claimcheck_tasks')`)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			s.t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return names
}

// Pages of stranded tasks go on from those that are due to those that are not.
func TestStrandedTasksArePaged(t *testing.T) {
	s := newSite(t, refusingAll)
	for i := range 120 {
		s.enqueue("search.reindex", `{}`, queue.Delay(time.Duration(i%2)*24*time.Hour))
	}
	found := map[string]bool{}
	pages := 0
	for next := "/admin/tasks?stranded=1"; next != ""; pages++ {
		body := s.get(next).Body.String()
		for _, id := range listed(body) {
			found[id] = true
		}
		next = ""
		if m := regexp.MustCompile(`href="([^"]*)" rel="next"`).FindStringSubmatch(body); m != nil {
			next = html.UnescapeString(m[1])
		}
	}
	if len(found) != 120 || pages > 4 {
		t.Errorf("%d tasks on %d pages", len(found), pages)
	}
}
