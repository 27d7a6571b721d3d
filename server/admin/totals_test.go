package admin_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// overviewNow is the overview with everything looked at.
func (s *site) overviewNow() string {
	s.t.Helper()
	for range 4 {
		s.get("/admin/")
	}
	return s.get("/admin/").Body.String()
}

// marked makes the sweeper as if it had just run.
func (s *site) marked() {
	s.t.Helper()
	if err := s.operator().Touch(s.t.Context(), queue.TouchSwept); err != nil {
		s.t.Fatal(err)
	}
}

// number is the number that an expression finds in a page.
func number(t *testing.T, page, expression string) int {
	t.Helper()
	sum, found := 0, regexp.MustCompile(expression).FindAllStringSubmatch(page, -1)
	for _, m := range found {
		n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if len(found) == 0 {
		t.Fatalf("nothing is %s in\n%s", expression, page)
	}
	return sum
}

// The numbers that stand on the overview add up.
func TestNumbersAgree(t *testing.T) {
	s := newestNight(t, func(c *admin.Config, _ *queue.Config) { c.SweepEvery = 30 * time.Second })
	// Of one kind of failure some are older than a day, and some older than an hour.
	for _, statement := range []string{
		`UPDATE claimcheck_tasks SET finished_at = finished_at - 200000000000 WHERE id IN (
			SELECT id FROM claimcheck_tasks WHERE status = 'FAILED' AND task_path = 'billing.charge_card' ORDER BY finished_at LIMIT 100)`,
		`UPDATE claimcheck_tasks SET finished_at = finished_at - 200000000000 WHERE id IN (
			SELECT id FROM claimcheck_tasks WHERE status = 'FAILED' AND task_path = 'reports.render_pdf' ORDER BY finished_at LIMIT 2)`,
	} {
		if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	page := s.overviewNow()
	const tile = `(?s)<dt>%</dt><dd[^>]*><a[^>]*>([\d,]+)</a></dd>`
	of := func(name string) int { return number(t, page, strings.ReplaceAll(tile, "%", name)) }

	failed := of("FAILED now")
	groups := number(t, page, `<h2>([\d,]+) tasks named \S+ are FAILED`) + number(t, page, `class="n big">([\d,]+)<`)
	listed := 0
	if err := s.db.QueryRowContext(t.Context(), `SELECT count(*) FROM claimcheck_tasks WHERE status = 'FAILED'`).Scan(&listed); err != nil {
		t.Fatal(err)
	}
	if failed != groups || failed != listed {
		t.Errorf("FAILED now: %d, in groups %d, in the table %d", failed, groups, listed)
	}
	day, chart := number(t, page, `([\d,]+) in the last 24 h,`), number(t, page, `Failed: <b>([\d,]+)</b>`)
	if day != chart || day != failed-102-19 {
		t.Errorf("in the last 24 hours: %d, in the chart %d, of %d", day, chart, failed)
	}
	hour := number(t, page, `in the last 24 h, ([\d,]+) in the last hour`)
	if byGroup := number(t, page, `(?:<p>|dim">)([\d,]+) in the last hour[,;<]`); hour != byGroup {
		t.Errorf("in the last hour: %d, by kind %d", hour, byGroup)
	}
	if sentence := number(t, page, `Ended in the last hour, by current status: [\d,]+ SUCCESSFUL, ([\d,]+) FAILED`); hour != sentence {
		t.Errorf("in the last hour: %d, in the sentence %d", hour, sentence)
	}
	if byQueue := number(t, page, `<td class="n">(?:<a class="bad"[^>]*>)?([\d,]+)</a> <span class="dim">[\d.]+%</span>`); hour != byQueue {
		t.Errorf("in the last hour: %d, by queue %d", hour, byQueue)
	}
	for tile, view := range map[string]string{"Pending": "pending", "Delayed": "delayed", "Running": "running"} {
		if byQueue := number(t, page, `<a href="/admin/tasks\?[^"]*queue=[^"]*view=`+view+`">([\d,]+)</a>`); of(tile) != byQueue {
			t.Errorf("%s: %d, by queue %d", tile, of(tile), byQueue)
		}
	}
	expired := number(t, page, `([\d,]+) with an expired lease`)
	if problem := number(t, page, `The leases of ([\d,]+) tasks have expired`); expired != problem {
		t.Errorf("%d expired leases, in the problem %d", expired, problem)
	}
	stranded := number(t, page, `<p>([\d,]+) tasks are due, the oldest`) + number(t, page, `<p>([\d,]+) tasks wait\.`)
	if byQueue := number(t, page, `<a class="bad" href="[^"]*stranded=1">([\d,]+)</a>`); stranded != byQueue {
		t.Errorf("stranded: %d, by queue %d", stranded, byQueue)
	}
	// The workers page has the same of the same tasks.
	workers := s.get("/admin/workers").Body.String()
	if running := number(t, workers, `</time></td>\s*<td class="n">([\d,]+)`); running != of("Running") {
		t.Errorf("running: %d, by worker %d", of("Running"), running)
	}
	if lost := number(t, workers, `([\d,]+) with an expired lease`); lost != expired {
		t.Errorf("expired: %d, by worker %d", expired, lost)
	}
}

// A cause is told once: tasks of a queue without a worker, and tasks whose name is unknown
// here, are not reported as stranded as well.
func TestACauseIsToldOnce(t *testing.T) {
	s := newestNight(t, func(c *admin.Config, _ *queue.Config) { c.SweepEvery = 30 * time.Second })
	s.marked()
	page := s.overviewNow()
	titles := regexp.MustCompile(`<div><h2>(.*?)</h2>`).FindAllStringSubmatch(page, -1)
	var all []string
	for _, m := range titles {
		all = append(all, m[1])
	}
	said := strings.Join(all, "\n")
	for _, want := range []string{"No worker serves queue partner", "No task named reports.legacy_export is registered here", "371 tasks named billing.charge_card are FAILED"} {
		if strings.Count(said, want) != 1 {
			t.Errorf("%q is not said once:\n%s", want, said)
		}
	}
	if strings.Contains(said, "stranded") {
		t.Errorf("the same tasks are reported as stranded:\n%s", said)
	}
	if n := strings.Count(page, "Queue does not exist"); n != 1 {
		t.Errorf("the reason of the queue is given %d times", n)
	}
	// What matters first comes first: charges before the others, which are as many or fewer.
	if !strings.HasPrefix(said, "371 tasks named billing.charge_card") {
		t.Errorf("the order:\n%s", said)
	}
	if n := strings.Count(page, `class="button main"`); n != 1 {
		t.Errorf("%d primary buttons", n)
	}
}

// The list of pending tasks leads to those that a pause or a limit holds, which the count of
// pending tasks includes.
func TestPendingTasksThatAreHeldAreLinked(t *testing.T) {
	s := newSite(t, nil)
	s.get("/admin/")
	if page := s.get("/admin/tasks?view=pending").Body.String(); strings.Contains(page, "Held tasks") {
		t.Error("nothing is held, and the list says so")
	}
	s.enqueue("emails.send_welcome", `{"user_id":1}`, queue.OnQueue("emails"))
	if _, err := s.client.PauseQueue(t.Context(), queue.GateRequest{Queue: "emails", Actor: "dana"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.SetLimit(t.Context(), queue.Limit{Kind: queue.LimitQueue, Name: "reports", Running: 1}, "dana"); err != nil {
		t.Fatal(err)
	}
	s = s.anew()
	s.get("/admin/")
	page := s.get("/admin/tasks?view=pending&task=emails.*").Body.String()
	for _, want := range []string{`href="/admin/tasks?parked=1&amp;task=emails.%2A"`, `href="/admin/tasks?limited=1&amp;task=emails.%2A"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	if held := s.get("/admin/tasks?parked=1&task=emails.*").Body.String(); !strings.Contains(held, "emails.send_welcome") {
		t.Error("the held task is not listed there")
	}
}
