package admin_test

import (
	"context"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// What an action has just done is not offered again: until its effect is known, the page that
// it leads to has none of the actions that depend on it.
func TestAnActionIsNotOfferedUntilItsEffectIsKnown(t *testing.T) {
	s := newNight(t, nil)
	link := regexp.MustCompile(`href="(/admin/confirm\?[^"]*)">Retry all 371<`).FindStringSubmatch(s.settled("/admin/"))
	if link == nil {
		t.Fatal("no button for the largest group")
	}
	confirm := s.get(html.UnescapeString(link[1])).Body.String()
	counted := make(chan struct{}) // until then the tasks are not counted anew
	s.store.onOverview(func() { <-counted })
	admin.HurryStats(s.handler)
	page := s.follow(s.post("/admin/act", formOf(confirm))).Body.String()
	if got := match(noticeText, page); got != "371 tasks are READY again." {
		t.Errorf("notice: %q", got)
	}
	for _, want := range []string{"before the latest action.", "data-again", "371 tasks named billing.charge_card are FAILED"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	for _, wrong := range []string{"/admin/confirm", "Retry all", "Requeue"} {
		if strings.Contains(page, wrong) {
			t.Errorf("%q is on the page", wrong)
		}
	}
	close(counted)
	admin.WaitForStats(s.handler)
	if page := s.settled("/admin/"); strings.Contains(page, "before the latest action") || strings.Contains(page, "billing.charge_card are FAILED") || !strings.Contains(page, "Retry all 128") {
		t.Errorf("afterwards:\n%s", page)
	}
}

// Nor is a queue offered to be paused that has just been.
func TestAPauseIsNotOfferedUntilItsEffectIsKnown(t *testing.T) {
	s := newNight(t, nil)
	for _, path := range []string{"/admin/queues", "/admin/queues/emails"} {
		if page := s.settled(path); !strings.Contains(page, `action="/admin/pause"`) {
			t.Fatalf("%s has no button", path)
		}
	}
	known := make(chan struct{})
	s.store.onGates(func() { <-known })
	admin.HurryStats(s.handler)
	for _, back := range []string{"", "/admin/queues/emails"} {
		page := s.follow(s.post("/admin/pause", url.Values{"queue": {"emails"}, "back": {back}})).Body.String()
		if strings.Contains(page, `action="/admin/pause"`) || strings.Contains(page, `action="/admin/resume"`) || !strings.Contains(page, "paused") {
			t.Errorf("%q:\n%s", back, page)
		}
	}
	close(known)
	admin.WaitForStats(s.handler)
	for _, path := range []string{"/admin/queues", "/admin/queues/emails"} {
		if page := s.settled(path); !strings.Contains(page, `action="/admin/resume"`) {
			t.Errorf("%s has no button to resume it", path)
		}
	}
}

// The page between an action and its effect, and the header with a program's own logout, are
// complete on every screen.
func testBeforeTheEffect(t *testing.T, browser context.Context) {
	s := newNight(t, func(c *admin.Config, _ *queue.Config) { c.Access = withLogout("/logout") })
	b := newTab(t, browser, s)
	b.open("/admin/")
	b.until(`!document.querySelector("[data-again]")`)
	b.click(`a[href*="group="].button.main`)
	counted := make(chan struct{})
	s.store.onOverview(func() { <-counted })
	admin.HurryStats(s.handler)
	b.click("form.confirm button")
	if got := b.text(".notice"); got != "371 tasks are READY again." {
		t.Errorf("notice: %q", got)
	}
	if got := b.text("section.health p"); !strings.Contains(got, "before the latest action") {
		t.Errorf("it says %q", got)
	}
	if got := b.text(".who a"); got != "Log out" {
		t.Errorf("the header has %q", got)
	}
	for _, dark := range []bool{false, true} {
		for _, width := range []int64{1280, 390} {
			b.look(dark, width, 900)
			b.laidOut("before the effect")
			b.audited("before the effect")
			b.picture(fmt.Sprintf("before-the-effect-%v-%d", dark, width), false)
		}
	}
	b.look(false, 1280, 900)
	close(counted)
	b.until(`!document.querySelector("[data-again]") && !!document.querySelector("a.button.main")`)
}
