package admin_test

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// Shortcuts do what the dialog says, nothing in a field or with another key held, and
// nothing at all once they are switched off.
func testShortcuts(t *testing.T, browser context.Context) {
	b := newTab(t, browser, newSite(t, nil))
	b.open("/admin/groups")
	opened := func() bool { return eval[bool](b, `document.getElementById("keys").open`) }
	// One event that writes the character unless it is prevented, as a keyboard's does.
	press := func(key string) {
		b.t.Helper()
		b.do(call(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: key, Text: key}))
	}
	press("?")
	if !opened() {
		t.Fatal("? does not show the shortcuts")
	}
	b.audited("shortcuts")
	b.do(chromedp.KeyEvent("\x1b"))
	if opened() {
		t.Error("Escape does not close them")
	}
	press("/")
	if at := eval[string](b, `document.activeElement.id`); at != "find-id" {
		t.Errorf("/ leads to %q", at)
	}
	for _, key := range []string{"a", "/", "r", "?"} {
		press(key)
	}
	if got := eval[string](b, `document.activeElement.value`); got != "a/r?" || opened() {
		t.Errorf("in a field they type %q", got)
	}
	eval[chromedp.Void](b, `document.activeElement.blur(); document.getElementById("live").dataset.before = 1; 0`)
	press("r")
	b.until(`!document.getElementById("live").dataset.before`)
	b.do(chromedp.Click(chromedp.CSS("#show-keys")), chromedp.Click(chromedp.CSS("#use-keys")), chromedp.Click(chromedp.CSS("#hide-keys")))
	press("/")
	press("?")
	if at := eval[string](b, `document.activeElement.id`); at == "find-id" || opened() {
		t.Errorf("switched off, they lead to %q; the dialog is open: %t", at, opened())
	}
	b.open("/admin/workers")
	press("?")
	if opened() || eval[bool](b, `document.getElementById("use-keys").checked`) {
		t.Error("the choice is forgotten on the next page")
	}
}
