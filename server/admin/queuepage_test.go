package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// cloud is a dispatcher whose service describes its queues.
type cloud struct {
	answer func(ctx context.Context, name string) []queue.DispatchQueue
	asked  chan string
}

func (cloud) Dispatch(context.Context, ...queue.Ticket) error { return nil }

func (c cloud) InspectQueue(ctx context.Context, name string) []queue.DispatchQueue {
	c.asked <- name
	return c.answer(ctx, name)
}

// overCloud is a site whose queues are described so.
func overCloud(t testing.TB, answer func(ctx context.Context, name string) []queue.DispatchQueue) (*site, cloud) {
	c := cloud{answer, make(chan string, 100)}
	return newNight(t, func(_ *admin.Config, q *queue.Config) {
		q.Dispatcher = c
	}), c
}

func TestQueuePage(t *testing.T) {
	s := newNight(t, nil)
	for range 3 { // until all parts are read
		s.get("/admin/queues/emails")
	}
	// 240 are pending, and some 15 have ended within the last hour.
	if text := plain(s.get("/admin/queues/emails").Body.String()); !strings.Contains(text, "At the rate of the last hour, the pending tasks take about ") {
		t.Errorf("%s", text)
	}
	if _, err := s.client.PauseQueue(t.Context(), queue.GateRequest{Queue: "emails", Actor: "sam", Reason: "the provider is down"}, nil); err != nil {
		t.Fatal(err)
	}
	s = s.anew()
	for _, name := range []string{"emails", "billing"} {
		for range 4 { // until all parts are read
			s.get("/admin/queues/" + name)
		}
	}
	text := plain(s.get("/admin/queues/emails").Body.String())
	for _, want := range []string{"emails paused", "by sam: the provider is down", "Pending", "Resume emails", "No limit is set.", "Throughput and latency", "Oldest pending", "web-00042-k7d/", "emails.send_receipt , emails.send_welcome"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Contains(text, "At the rate") {
		t.Error("it says how long the backlog of a paused queue would take")
	}
	body := s.get("/admin/queues/billing").Body.String()
	for _, want := range []string{`href="/admin/tasks?queue=billing&amp;view=failed"`, `name="back" value="/admin/queues/billing"`, `href="/admin/types/billing.charge_card"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if strings.Contains(body, "Queue in the delivery service") {
		t.Error("a queue without a dispatcher has one of a service")
	}
	form := url.Values{"queue": {"billing"}, "reason": {"why"}, "back": {"/admin/queues/billing"}}
	if w := s.post("/admin/pause", form); w.Header().Get("Location") != "/admin/queues/billing" {
		t.Errorf("after a pause to %q", w.Header().Get("Location"))
	}
	form = url.Values{"kind": {"queue"}, "name": {"billing"}, "running": {"2"}, "do": {"set"}, "back": {"/admin/queues/billing"}}
	if page := plain(s.follow(s.post("/admin/limit", form)).Body.String()); !strings.Contains(page, "billing paused") || !strings.Contains(page, "at most 2 running") {
		t.Errorf("after both: %s", page)
	}
	for name, want := range map[string]int{"nowhere": 404, "no%20name": 404, "a%2Fb": 404, "partner": 200} {
		if w := s.get("/admin/queues/" + name); w.Code != want {
			t.Errorf("%s: %d, want %d", name, w.Code, want)
		}
	}
}

func TestTheServicesQueueIsAskedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s, c := overCloud(t, func(ctx context.Context, name string) []queue.DispatchQueue {
			select {
			case <-release:
			case <-ctx.Done():
				return []queue.DispatchQueue{{Name: "projects/p/queues/" + name, Err: errors.New("no answer in time")}}
			}
			return []queue.DispatchQueue{{
				Name: "projects/p/queues/" + name, State: "PAUSED", MaxPerSecond: 12.5, MaxBurst: 10, MaxConcurrent: 80, MaxAttempts: -1, MinBackoff: time.Second, MaxBackoff: time.Minute, MaxDoublings: 5,
				Depth: &queue.DispatchDepth{Tickets: 1234, LastMinute: 60, Concurrent: 7, EffectiveLimit: 2.5},
			}, {Name: "projects/p/queues/other", Err: errors.New("this process's account needs roles/cloudtasks.viewer")}, {Name: "projects/p/queues/third", State: "RUNNING", DepthErr: errors.New("what answers does not say")}}
		})
		if w := s.get("/admin/queues/billing"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Asking the service…") || !strings.Contains(w.Body.String(), "data-again") {
			t.Errorf("%d, the page does not say that the service is being asked", w.Code)
		}
		s.get("/admin/queues/billing")
		synctest.Wait()
		if n := len(c.asked); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		time.Sleep(6 * time.Second) // in the bubble
		if text := plain(s.get("/admin/queues/billing").Body.String()); !strings.Contains(text, "Settings unknown: no answer in time") {
			t.Errorf("a look without an answer: %s", text)
		}
		close(release)
		time.Sleep(time.Minute)
		s.get("/admin/queues/billing")
		synctest.Wait()
		text := plain(s.get("/admin/queues/billing").Body.String())
		for _, want := range []string{
			"billing PAUSED", "at most 12.5 per second, 80 at once bursts of 10", "any number of attempts after 1 s, doubled 5 times, up to 1 min", "about 1,234 tickets", "60 in the last minute · 7 not answered yet now at most 2.5 per second",
			"other Settings unknown: this process's account needs roles/cloudtasks.viewer", "unknown: what answers does not say",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in %s", want, text)
			}
		}
		if n := len(c.asked); n != 2 {
			t.Errorf("asked %d times", n)
		}
		for _, name := range []string{"nowhere", "no%20name"} { // whatever an address says is not asked for
			s.get("/admin/queues/" + name)
		}
		synctest.Wait()
		if n := len(c.asked); n != 2 {
			t.Error("the service is asked about queues that nobody has")
		}
	})
}

func TestADispatcherThatPanicsWhenAskedFailsItsPartOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := overCloud(t, func(context.Context, string) []queue.DispatchQueue { panic("no such luck") })
		s.get("/admin/queues/billing")
		synctest.Wait()
		if w := s.get("/admin/queues/billing"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "the dispatcher panicked: no such luck") {
			t.Errorf("%d", w.Code)
		}
	})
}

// slowLists is a store in which a list of one name or queue, and the overview, take until
// release is closed.
type slowLists struct {
	*countingStore
	release chan struct{}
}

func (s slowLists) List(ctx context.Context, r queue.ListRequest) (queue.ListPage, error) {
	if r.Queue+r.Task != "" {
		select {
		case <-s.release:
		case <-ctx.Done():
			return queue.ListPage{}, ctx.Err()
		}
	}
	return s.countingStore.List(ctx, r)
}

func (s slowLists) Overview(ctx context.Context, r queue.OverviewRequest) (queue.Overview, error) {
	<-s.release
	return s.countingStore.Overview(ctx, r)
}

// A page of a queue or a type does not wait for a list of what is rare among many tasks.
func TestPagesDoNotWaitForListsOfOneNameOrQueue(t *testing.T) {
	for path, words := range map[string][2]string{
		"/admin/queues/billing":            {"Looking for workers…", "web-00042-k7d/"},
		"/admin/types/billing.charge_card": {"Looking for its latest tasks…", "of the latest 8"},
	} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			s := newNight(t, func(_ *admin.Config, q *queue.Config) {
				q.Store = slowLists{q.Store.(*countingStore), release}
			})
			var err error
			if s.handler, err = admin.New(s.cfg); err != nil { // with the patience of a server
				t.Fatal(err)
			}
			for range 2 { // the second one waits for the same list
				start := time.Now()
				w := s.get(path)
				if took := time.Since(start); took > 80*time.Millisecond { // in the bubble
					t.Errorf("%s: %v", path, took)
				}
				if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), words[0]) || !strings.Contains(w.Body.String(), "data-again") {
					t.Errorf("%s: %d without %s", path, w.Code, words[0])
				}
			}
			close(release)
			synctest.Wait()
			if w := s.get(path); w.Code != http.StatusOK || strings.Contains(w.Body.String(), words[0]) || !strings.Contains(w.Body.String(), words[1]) {
				t.Errorf("%s: %d without %s: %s", path, w.Code, words[1], plain(w.Body.String()))
			}
		})
	}
}

// A queue whose first task was enqueued just now, or whose tasks ended long ago, is there,
// although the statistics do not know it.
func TestAQueueIsThereIfATaskIs(t *testing.T) {
	s := newSite(t, nil)
	for range 3 { // until all parts are read
		s.get("/admin/queues/fresh")
	}
	if w := s.get("/admin/queues/fresh"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "No stored task") {
		t.Errorf("without a task: %d %s", w.Code, plain(w.Body.String()))
	}
	id := s.enqueue("search.reindex", `{}`, queue.OnQueue("fresh"))
	if w := s.get("/admin/queues/fresh"); w.Code != http.StatusOK {
		t.Errorf("with a new task: %d", w.Code)
	}
	if _, err := s.db.ExecContext(t.Context(), `UPDATE claimcheck_tasks SET status = 'SUCCESSFUL', worker_ids = '["web-7"]', attempts = 1,
		enqueued_at = enqueued_at - 9000000000, finished_at = enqueued_at - 7200000000 WHERE id = ?`, id.String()); err != nil {
		t.Fatal(err)
	}
	s = s.anew()
	for range 3 { // until all parts are read
		s.get("/admin/queues/fresh")
	}
	if w := s.get("/admin/queues/fresh"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "web-7") {
		t.Errorf("with a task that ended two hours ago: %d %s", w.Code, plain(w.Body.String()))
	}
}

// However many tasks there are that are later, a queue whose tasks are kept is there, and one
// that none has is not.
func TestAQueueIsThereIfItsTasksAreOld(t *testing.T) {
	s := newSite(t, nil)
	s.enqueue("search.reindex", `{}`, queue.OnQueue("old"))
	s.enqueue("search.reindex", `{}`, queue.OnQueue("busy"))
	columns := s.columns()
	for i, name := range columns {
		if name == "id" {
			columns[i] = "printf('ffff%04x-0000-7000-8000-%012x', i >> 16, i)"
		}
	}
	for _, statement := range []string{
		`UPDATE claimcheck_tasks SET status = 'SUCCESSFUL', worker_ids = '["web-7"]', attempts = 1, finished_at = enqueued_at - CASE queue_name WHEN 'old' THEN 86000000000 ELSE 90000000000 END`,
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO claimcheck_tasks SELECT %s FROM claimcheck_tasks, n WHERE queue_name = 'busy'`, 2*queue.ListWindow+100, strings.Join(columns, ", ")),
	} {
		if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	s = s.anew()
	last := func(path string) *httptest.ResponseRecorder {
		for range 9 {
			if w := s.get(path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "data-again") {
				return w
			}
		}
		t.Fatalf("%s is never whole", path)
		return nil
	}
	if w := last("/admin/queues/old"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "web-7") {
		t.Errorf("status %d: %s", w.Code, plain(w.Body.String()))
	}
	if w := last("/admin/queues/absent"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "No stored task") {
		t.Errorf("status %d: %s", w.Code, plain(w.Body.String()))
	}
}
