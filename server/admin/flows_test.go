package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// From "something is wrong" to "they are running again": two clicks.
func testRetryAll(t *testing.T, browser context.Context) {
	s := newNight(t, nil)
	b := newTab(t, browser, s)
	b.open("/admin/")
	b.click(`a[href*="group="].button.main`)
	if got := b.text("h1"); got != "Retry 371 tasks?" {
		t.Fatalf("confirmation: %q", got)
	}
	b.picture("flow-confirm", false)
	b.click(`form.confirm button`)
	if got := b.text(".notice"); got != "371 tasks are READY again." {
		t.Errorf("notice: %q", got)
	}
	if !eval[bool](b, `document.activeElement.matches(".notice")`) {
		t.Error("the notice is not focused, so screen readers do not read it")
	}
	b.audited("overview with a notice")
	b.picture("flow-done", false)
}

func testSelectSome(t *testing.T, browser context.Context) {
	s := newNight(t, nil)
	b := newTab(t, browser, s)
	b.open("/admin/tasks?view=failed&task=billing.*&error=TIMEOUT")
	if !eval[bool](b, `document.querySelector("[name=do]").disabled`) {
		t.Error("the button is not off while nothing is selected")
	}
	b.do(chromedp.Click(chromedp.CSS("[data-all]")))
	if got := b.text("[name=do]"); got != "Retry 50 selected" {
		t.Errorf("button: %q", got)
	}
	b.do(chromedp.Click(chromedp.CSS("tbody tr:nth-child(2) [name=pick]")))
	b.click("[name=do]")
	if got := b.text("h1"); got != "Retry 49 tasks?" {
		t.Fatalf("confirmation: %q", got)
	}
	b.click("form.confirm button")
	if got := b.text(".notice"); got != "49 tasks are READY again." {
		t.Errorf("notice: %q", got)
	}
	if at := eval[string](b, "location.search"); !strings.Contains(at, "billing") {
		t.Errorf("the filter is lost: %s", at)
	}
	b.click("[name=all]")
	if got := b.text("h1"); got != "Retry 322 tasks?" {
		t.Errorf("all that match: %q", got)
	}
}

func testWithoutJavaScript(t *testing.T, browser context.Context) {
	s := newNight(t, nil)
	b := newTab(t, browser, s)
	b.do(call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	b.open("/admin/")
	b.picture("nojs-overview", false)
	b.click(`a[href*="group="].button.main`)
	b.click("form.confirm button")
	if got := b.text(".notice"); got != "371 tasks are READY again." {
		t.Errorf("notice: %q", got)
	}
	b.open("/admin/tasks")
	b.do(chromedp.SendKeys(chromedp.CSS("#f-task"), "webhook.*"))
	b.click(".filters button")
	b.click(`.tabs a[href*="view=failed"]`)
	b.do(chromedp.Click(chromedp.CSS("tbody tr:nth-child(1) [name=pick]")))
	b.click("[name=do]")
	b.click("form.confirm button")
	if got := b.text(".notice"); got != "1 task is READY again." {
		t.Errorf("notice: %q", got)
	}
	b.open("/admin/types/search.reindex")
	b.click(".enqueue button")
	if got := b.text(".notice"); !strings.HasPrefix(got, "Enqueued.") {
		t.Errorf("notice: %q", got)
	}
}

// A visible page refreshes, unless tasks are selected or the operator has paused
// it. What is opened stays open, and what is typed is kept.
func testLooksAgain(t *testing.T, browser context.Context) {
	s := newNight(t, nil)
	b := newTab(t, browser, s)
	b.open("/admin/tasks?view=failed&task=reports.*")
	b.do(chromedp.Click(chromedp.CSS("summary")), chromedp.WaitVisible(chromedp.CSS("#f-since")))
	b.do(chromedp.SendKeys(chromedp.CSS("#f-error"), "half a wo"))
	before := eval[int](b, `document.querySelectorAll("tbody tr").length`)
	row := s.someRow(queue.Selection{View: queue.ViewFailed, Task: "reports.*"})
	s.post("/admin/act", map[string][]string{"do": {"retry"}, "pick": {row.ID.String()}})
	eval[chromedp.Void](b, `htmx.trigger("#live", "refresh")`)
	b.until(fmt.Sprintf(`document.querySelectorAll("tbody tr").length === %d`, before-1))
	if !eval[bool](b, `document.querySelector(".filters details").open`) {
		t.Error("the filter is closed again")
	}
	if typed := eval[string](b, `document.querySelector("#f-error").value`); typed != "half a wo" {
		t.Errorf("what was typed is now %q", typed)
	}

	testStaysOpen(b)

	// The page refreshes by itself only when nothing prevents it.
	requests := func(prepare, undo string) int {
		b.transferred()
		eval[chromedp.Void](b, prepare+`; document.getElementById("live").dataset.every = 0.01; 0`)
		// Two ticks of a second each.
		eval[chromedp.Void](b, `new Promise(done => setTimeout(done, 2300))`, chromedp.EvalAwaitPromise)
		eval[chromedp.Void](b, undo+`; document.getElementById("live").dataset.every = 10; 0`) // none between two cases
		_, urls := b.transferred()
		return len(urls)
	}
	if n := requests("1", "1"); n == 0 {
		t.Error("it does not refresh")
	}
	for what, how := range map[string][2]string{
		"paused":   {`document.getElementById("pause").click()`, `document.getElementById("pause").click()`},
		"choosing": {`document.querySelector("[name=pick]").click()`, `document.querySelector("[name=pick]").click()`},
		"hidden":   {`Object.defineProperty(document, "hidden", {value: true, configurable: true})`, `delete document.hidden`},
	} {
		if n := requests(how[0], how[1]); n > 0 {
			t.Errorf("%d requests while %s", n, what)
		}
	}
}

// testStaysOpen opens a part of the overview and refreshes it.
func testStaysOpen(b *tab) {
	list := eval[string](b, "location.pathname + location.search")
	b.open("/admin/")
	b.until(`!document.querySelector("[data-again]")`)
	b.do(chromedp.Click(chromedp.CSS("#as-table summary")))
	eval[chromedp.Void](b, `document.querySelector(".tiles").id = "old"; htmx.trigger("#live", "refresh")`)
	b.until(`!document.querySelector("#old")`)
	if !eval[bool](b, `document.querySelector("#as-table").open`) {
		b.t.Error("what was opened is closed again")
	}
	b.open(list)
}

// The page of an action that takes longer sends what follows by itself.
func testGoesOn(t *testing.T, browser context.Context) {
	s := newNight(t, nil)
	pages := s.handler
	var acts atomic.Int32
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/admin/act" {
			acts.Add(1)
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		s.store.onAct(cancel) // each request has time for one batch
		pages.ServeHTTP(w, r.WithContext(ctx))
	})
	b := newTab(t, browser, s)
	b.open("/admin/confirm?all=retry&view=failed&task=billing.charge_card&back=/admin/tasks")
	b.click("form.confirm button")
	// In one evaluation: the next one may be in another document.
	b.until(`document.querySelector(".notice")?.innerText === "371 tasks are READY again."`)
	if n := acts.Load(); n < 2 {
		t.Errorf("%d requests", n)
	}
}

func testHostileText(t *testing.T, browser context.Context) {
	s := newSite(t, nil)
	id := s.enqueue("search.reindex", `{"a":`+quoted(hostile)+`,"</textarea><script>alert(3)</script>":1}`)
	b := newTab(t, browser, s)
	for _, path := range []string{"/admin/tasks/" + id.String(), "/admin/types/search.reindex?from=" + id.String(), "/admin/tasks?task=%3Cscript%3Ealert(1)%3C/script%3E"} {
		b.open(path)
		if n := eval[int](b, `document.querySelectorAll("main script, main img, [onerror]").length`); n > 0 {
			t.Errorf("%s: %d live elements", path, n)
		}
	}
}

// A form on another site's page that a person with a session opens.
func testAnotherSite(t *testing.T, browser context.Context) {
	s := newSite(t, nil)
	id := s.enqueue("search.reindex", `{}`)
	b := newTab(t, browser, s)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `<!doctype html><title>.</title><link rel="icon" href="data:,"><form method="post" action="%s/admin/act">
			<input name="do" value="cancel"><input name="pick" value="%s"><button>Win a prize</button></form>`, b.server, id)
	}))
	defer evil.Close()
	b.do(chromedp.Navigate(strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)))
	b.click("button")
	if got := b.text("h1"); got != "Request refused" {
		t.Errorf("%q", got)
	}
	if row := s.row(id); row.Status != queue.StatusReady {
		t.Errorf("the task is %s", row.Status)
	}
	b.ignore("403")
}

// All that a first visit loads, and from where.
func testTransfer(t *testing.T, browser context.Context) {
	s := newNight(t, nil)
	b := newTab(t, browser, s)
	b.open("/admin/")
	b.until(`!document.querySelector("[data-again]")`)
	bytes, urls := b.transferred()
	t.Logf("a first visit of the overview: %.1f KB in %d requests", bytes/1000, len(urls))
	if bytes == 0 || bytes > 60_000 {
		t.Errorf("%.0f bytes", bytes)
	}
	for _, url := range urls {
		if !strings.HasPrefix(url, b.server) {
			t.Errorf("loaded from elsewhere: %s", url)
		}
	}
	b.open("/admin/tasks/" + uuid.NewString())
	b.ignore("404")
	if bytes, urls = b.transferred(); bytes > 5_000 {
		t.Errorf("the next page takes %.0f bytes: %v", bytes, urls)
	}
}
