package admin_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// reporting is a site with a task that runs until the test ends, and reports what it is
// told to.
func reporting(t testing.TB, change func(*admin.Config)) (s *site, id uuid.UUID, report chan<- int) {
	t.Helper()
	reports, reported := make(chan int), make(chan struct{})
	work := func(ctx context.Context, _ any) (any, error) {
		for {
			select {
			case n := <-reports:
				queue.Progress(ctx, n, 400)
				queue.Note(ctx, fmt.Sprintf("page <%d>", n))
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
	}
	s = newSite(t, func(c *admin.Config, q *queue.Config) {
		q.Registry = queue.NewRegistry(queue.NewTask("t.long", work))
		if change != nil {
			change(c)
		}
	})
	exec, err := queue.NewExecutor(s.client, queue.ExecutorConfig{Lease: 3 * time.Second}) // reports are stored at each third
	if err != nil {
		t.Fatal(err)
	}
	id = s.enqueue("t.long", `null`)
	go func() {
		defer close(reported)
		_, _ = exec.RunByID(context.Background(), id, queue.RunOptions{})
	}()
	t.Cleanup(func() {
		_ = exec.Shutdown(t.Context(), time.Second) // hurried: that context has ended
		<-reported
	})
	return s, id, reports
}

// waits until a page contains a text.
func (s *site) waits(path, text string) (body string) {
	s.t.Helper()
	for deadline := time.Now().Add(browserTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if body = s.get(path).Body.String(); strings.Contains(body, text) {
			return body
		}
	}
	s.t.Fatalf("no %q in %s", text, plain(body))
	return ""
}

func TestRunningTasksShowHowFarTheyAre(t *testing.T) {
	s, id, report := reporting(t, nil)
	report <- 300
	for _, path := range []string{"/admin/tasks/" + id.String(), "/admin/tasks?view=running"} {
		body := s.waits(path, `max="400" value="300"`)
		if text := plain(body); !strings.Contains(text, "300 of 400 (75%)") || !strings.Contains(text, "page <300>") || !strings.Contains(strings.ToLower(text), "running for 0:0") || !strings.Contains(body, " data-elapsed>0:0") {
			t.Errorf("%s: %s", path, text)
		}
	}
	if body := s.get("/admin/tasks/" + id.String()).Body.String(); !strings.Contains(body, `data-every="2"`) {
		t.Error("the page of a running task refreshes as seldom as others")
	}
	hidden, _, report := reporting(t, func(c *admin.Config) { c.Redact = func(string) bool { return true } })
	report <- 7
	if body := hidden.waits("/admin/tasks?view=running", `value="7"`); strings.Contains(body, "page &lt;7") {
		t.Error("the list shows the note of a redacted task")
	}
}

// How long a task has been running is counted by the page, without a request; what it
// reports comes with the next one, and none is sent by a tab that is hidden.
func testLive(t *testing.T, browser context.Context) {
	s, id, report := reporting(t, nil)
	s.waits("/admin/tasks/"+id.String(), "Running for")
	b := newTab(t, browser, s)
	for _, path := range []string{"/admin/tasks/" + id.String(), "/admin/tasks?view=running"} {
		b.open(path)
		eval[int](b, `document.getElementById("live").dataset.every = 1000; 0`)
		b.transferred()
		first := eval[string](b, `document.querySelector("time[data-elapsed]").textContent`)
		b.until(fmt.Sprintf(`document.querySelector("time[data-elapsed]").textContent !== %q`, first))
		if _, urls := b.transferred(); slices.ContainsFunc(urls, func(url string) bool { return !strings.Contains(url, "/static/") }) {
			t.Errorf("counting on requests %v", urls)
		}
		eval[int](b, `document.querySelector("time[data-elapsed]").dateTime = new Date(Date.now() - 3725000).toISOString(); 0`)
		b.until(`/^1:02:0\d$/.test(document.querySelector("time[data-elapsed]").textContent)`)
		eval[int](b, `document.getElementById("pause").click(); document.querySelector("time[data-elapsed]").textContent = "held"; 0`)
		eval[int](b, `new Promise(done => setTimeout(() => done(0), 1200))`, chromedp.EvalAwaitPromise)
		if got := eval[string](b, `document.querySelector("time[data-elapsed]").textContent`); got != "held" {
			t.Errorf("a page that is paused counts on: %s", got)
		}
	}
	b.open("/admin/tasks/" + id.String())
	report <- 123
	b.until(`document.querySelector("progress")?.value === 123`)
	if got := b.text("#live"); !strings.Contains(got, "page <123>") {
		t.Errorf("the note is missing: %s", got)
	}
	b.audited("a running task")
	b.picture("task-live", false)
	eval[int](b, `Object.defineProperty(document, "hidden", {value: true, configurable: true}); 0`)
	b.until(`document.getElementById("live").dataset.now`)
	s.store.asked()
	b.transferred()
	eval[int](b, `document.querySelector("time[data-elapsed]").textContent = "held"; new Promise(done => setTimeout(() => done(0), 4500))`, chromedp.EvalAwaitPromise)
	if _, urls := b.transferred(); len(urls) > 0 || eval[string](b, `document.querySelector("time[data-elapsed]").textContent`) != "held" {
		t.Errorf("a hidden tab sends %v, or counts", urls)
	}
	eval[int](b, `delete document.hidden; 0`)
	report <- 124
	b.until(`document.querySelector("progress").value === 124`)
}
