package admin_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

//go:embed testdata/axe.min.js
var axe string

// browserTimeout bounds a test in the browser, on a machine that is busy.
const browserTimeout = 90 * time.Second

// startBrowser starts a Chromium that ends with the test, or with the process.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("these tests need Chromium: make deps installs it on Debian (package chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the process to end
		cancel()
		stop()
	})
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// tab is one tab with cookies of its own, and what it complained about.
type tab struct {
	t      *testing.T
	ctx    context.Context
	server string

	mu       sync.Mutex
	problems []string
	bytes    map[string]float64 // received, by request
	urls     []string
}

// newTab opens a tab that shows the pages of a site.
func newTab(t *testing.T, browser context.Context, s *site) *tab {
	t.Helper()
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, browserTimeout)
	t.Cleanup(stop)
	b := &tab{t: t, ctx: ctx, server: server.URL, bytes: make(map[string]float64)}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	b.do(call(network.Enable, network.EnableParams{}), call(cdplog.Enable, cdp.Empty{}), chromedp.EmulateViewport(1280, 900))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, problem := range b.problems {
			t.Errorf("the browser complains: %s", problem)
		}
	})
	return b
}

// note keeps what the browser complains about, and what it loads.
func (b *tab) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, e.ExceptionDetails.Text)
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			b.problems = append(b.problems, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		b.urls = append(b.urls, e.Request.URL)
	case *network.EventLoadingFinished:
		b.bytes[string(e.RequestID)] = e.EncodedDataLength
	}
}

// do carries out steps, one after the other.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// open goes to a page.
func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.server + path))
}

// click clicks, and waits until the page that follows is there.
func (b *tab) click(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("click %s: %v", selector, err)
	}
}

// text is what an element says.
func (b *tab) text(selector string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		b.t.Fatalf("text of %s: %v", selector, err)
	}
	return text
}

// eval is the value of an expression in the page.
func eval[T any](b *tab, expression string, options ...chromedp.EvaluateOption) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		b.t.Fatalf("%.80s: %v", expression, err)
	}
	return value
}

// until waits for an expression to be true, also in a page that follows: while a page
// leaves, none can be evaluated.
func (b *tab) until(expression string) {
	b.t.Helper()
	for {
		is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && is {
			return
		}
		if ended := chromedp.Do(b.ctx, chromedp.Sleep(20*time.Millisecond)); ended != nil {
			b.t.Fatalf("waiting for %s: %v", expression, errors.Join(ended, err))
		}
	}
}

// look chooses the colours and the width that a page is shown in.
func (b *tab) look(dark bool, width, height int64) {
	b.t.Helper()
	scheme := map[bool]string{false: "light", true: "dark"}[dark]
	b.do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}), chromedp.EmulateViewport(width, height))
}

// picture keeps a picture of the page in the folder that CLAIMCHECK_PICTURES
// names, if it does.
func (b *tab) picture(name string, whole bool) {
	b.t.Helper()
	folder := os.Getenv("CLAIMCHECK_PICTURES")
	if folder == "" {
		return
	}
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	image, err := chromedp.Run(b.ctx, take)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), image, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// audited runs axe-core over the page, all of its rules or those that are named,
// and reports what it finds.
func (b *tab) audited(name string, rules ...string) {
	b.t.Helper()
	only, err := json.Marshal(rules)
	if err != nil {
		b.t.Fatal(err)
	}
	if !eval[bool](b, `"axe" in window`) {
		eval[chromedp.Void](b, axe+";0")
	}
	found := eval[[]string](b, `((only) => axe.run(document, {resultTypes: ["violations"], ...(only && {runOnly: only})}))(`+string(only)+`).then(r =>
		r.violations.map(v => v.id + " (" + v.impact + "): " + v.help + " at " + v.nodes.slice(0, 3).map(n => n.target.join(" ") + " " + (n.any[0] || n.all[0] || n.none[0] || {}).message).join(" | ")))`,
		chromedp.EvalAwaitPromise)
	for _, violation := range found {
		b.t.Errorf("%s: axe: %s", name, violation)
	}
}

// fits reports a page that is wider than the window.
func (b *tab) fits(name string) {
	b.t.Helper()
	if wide := eval[string](b, `document.documentElement.scrollWidth > innerWidth ? document.documentElement.scrollWidth + " > " + innerWidth : ""`); wide != "" {
		b.t.Errorf("%s: the page is wider than the window: %s", name, wide)
	}
}

// transferred is how much came over the network, and forgets it.
func (b *tab) transferred() (bytes float64, urls []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.bytes {
		bytes += n
	}
	urls = b.urls
	b.bytes, b.urls = make(map[string]float64), nil
	return bytes, urls
}

// ignore forgets the complaints that contain a text: those that a test provokes.
func (b *tab) ignore(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var left []string
	for _, problem := range b.problems {
		if !strings.Contains(problem, part) {
			left = append(left, problem)
		}
	}
	b.problems = left
}

// call is a command of the browser's protocol as a step.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, command, params)
		return chromedp.Void{}, err
	}
}
