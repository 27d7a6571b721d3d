package admin_test

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

var anchor = regexp.MustCompile(`(?:href|hx-get)="(/admin/[^"#]*)"`)

// No page changes anything until a form is sent: neither a link that a mail scanner follows
// nor a page that a browser has prefetched does.
func TestNoPageChangesAnything(t *testing.T) {
	s, pages := eventfulNight(t)
	s.enqueue("emails.send_receipt", `{}`, queue.ExpiresIn(time.Microsecond))
	if _, err := s.db.ExecContext(t.Context(), `UPDATE claimcheck_tasks SET lease_expires_at = 1 WHERE status = 'RUNNING'`); err != nil {
		t.Fatal(err)
	}
	paths := []string{"/admin/confirm?all=retry&view=failed&task=nosuch", "/admin/confirm?all=retry&view=failed&text=nosuch", "/admin/audit.jsonl", "/admin/tasks?text=4711"}
	for _, page := range pages {
		paths = append(paths, page.path)
	}
	some := s.someRow(queue.Selection{View: queue.ViewFailed}).ID
	for action, view := range map[queue.Action]queue.View{
		queue.ActionRun: queue.ViewPending, queue.ActionRetry: queue.ViewFailed, queue.ActionRequeue: queue.ViewRunning, queue.ActionCancel: queue.ViewRunning, queue.ActionDelete: queue.ViewSuccessful,
	} {
		paths = append(paths, fmt.Sprintf("/admin/confirm?all=%s&view=%s", action, view), fmt.Sprintf("/admin/confirm?all=%s&view=%s&task=nosuch", action, view),
			fmt.Sprintf("/admin/confirm?do=%s&pick=%s", action, some))
	}
	before := testdb.SQLiteTables(t, s.db)
	open := func(path string) (body string) {
		t.Helper()
		body = s.get(path).Body.String()
		after := testdb.SQLiteTables(t, s.db)
		for name := range after {
			if before[name] != after[name] {
				t.Errorf("GET %s changed the table %s", path, name)
			}
		}
		before = after
		return body
	}
	var links []string
	for _, path := range paths {
		for _, link := range anchor.FindAllStringSubmatch(open(path), -1) {
			links = append(links, html.UnescapeString(link[1]))
		}
	}
	slices.Sort(links)
	for _, path := range slices.Compact(links) {
		if !slices.Contains(paths, path) {
			open(path)
		}
	}
}
