package admin_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// doors is an Access that can be closed.
type doors struct {
	admin.Access
	closed atomic.Bool
}

func (d *doors) Identify(r *http.Request) (admin.Person, error) {
	if d.closed.Load() {
		return admin.Person{}, admin.ErrLogin
	}
	return d.Access.Identify(r)
}

// A failed refresh leaves the page as it is, says so, and is retried.
func testKeepsWhatItHas(t *testing.T, browser context.Context) {
	door := &doors{Access: admin.Open("ops")}
	s := newNight(t, func(c *admin.Config, _ *queue.Config) { c.Access = door })
	pages, proxy := s.handler, atomic.Bool{}
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if proxy.Load() {
			_, _ = w.Write([]byte("<!doctype html><title>Log in first</title>"))
			return
		}
		pages.ServeHTTP(w, r)
	})
	b := newTab(t, browser, s)
	b.open("/admin/tasks?view=failed&task=reports.*")
	rows := eval[int](b, `document.querySelectorAll("tbody tr").length`)
	offline := func(yes bool) {
		b.do(call(network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{{Offline: yes, DownloadThroughput: -1, UploadThroughput: -1}},
		}))
	}
	for _, c := range []struct {
		name, says    string
		fail, recover func()
	}{
		{"database", "Not reachable (the answer was 503); retrying. Shown as of ", func() { s.store.fail(queue.ErrUnavailable) }, func() { s.store.fail(nil) }},
		{"session", "Your session has ended. Shown as of ", func() { door.closed.Store(true) }, func() { door.closed.Store(false) }},
		{"proxy's session", "Your session has ended. Shown as of ", func() { proxy.Store(true) }, func() { proxy.Store(false) }},
		{"network", "Not reachable; retrying. Shown as of ", func() { offline(true) }, func() { offline(false) }},
	} {
		c.fail()
		// The page's timer notices, and refreshes again later.
		eval[chromedp.Void](b, `document.getElementById("live").dataset.every = 0.01; 0`)
		b.until(`document.getElementById("away").checkVisibility()`)
		if said := b.text("#away"); !strings.HasPrefix(said, c.says) || !strings.Contains(said, " UTC") {
			t.Errorf("%s: %q", c.name, said)
		}
		if n := eval[int](b, `document.querySelectorAll("#live tbody tr").length`); n != rows {
			t.Errorf("%s: %d tasks are shown, not %d", c.name, n, rows)
		}
		if link := eval[bool](b, `!!document.querySelector("#away a[href]:not([hidden])")`); link != strings.HasSuffix(c.name, "session") {
			t.Errorf("%s: link: %v", c.name, link)
		}
		b.audited(c.name)
		b.picture("away-"+c.name, false)
		c.recover()
		b.until(`document.getElementById("away").hidden`)
		if n := eval[int](b, `document.querySelectorAll("#live tbody tr").length`); n != rows {
			t.Errorf("%s: afterwards %d tasks are shown, not %d", c.name, n, rows)
		}
	}
	b.ignore("Failed to load resource")
}
