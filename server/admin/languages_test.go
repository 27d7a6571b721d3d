package admin_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// In each language, chosen at the foot of a page, every page fits, wide and on a phone, and
// axe finds nothing.
func testLanguages(t *testing.T, browser context.Context) {
	s, pages := eventfulNight(t)
	for _, l := range lang.Languages()[1:] {
		t.Run(l.Tag, func(t *testing.T) {
			b := newTab(t, browser, s)
			b.open("/admin/")
			b.click(fmt.Sprintf(".languages [value=%q]", l.Tag))
			if got := eval[string](b, "document.documentElement.lang"); got != l.Tag {
				t.Fatalf("the page is in %q", got)
			}
			for _, page := range pages {
				b.look(false, 1280, 900)
				b.open(page.path)
				b.until(`!document.querySelector("[data-again]")`)
				b.laidOut(page.name)
				b.audited(page.name)
				b.picture(page.name+"-"+l.Tag, true)
				b.look(false, 390, 844)
				b.laidOut(page.name + " on a phone")
				b.picture(page.name+"-"+l.Tag+"-phone", true)
			}
			b.ignore("404")
			b.ignore("400")
		})
	}
}
