package admin_test

import (
	"context"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

func TestBrand(t *testing.T) {
	for brand, want := range map[admin.Brand][]string{
		{}: {"<title>Overview · claimcheck</title>", `class="brand" href="/admin/"`, `<span translate="no">claimcheck</span>`},
		{Name: `Shop & <b>"Söhne"</b>`, URL: "https://ops.example.com/?a=1&b=2"}: {"<title>Overview · Shop &amp; &lt;b&gt;", `class="brand" href="https://ops.example.com/?a=1&amp;b=2"`, `<span translate="no">Shop &amp; &lt;b&gt;&#34;Söhne&#34;&lt;/b&gt;</span>`},
		{Name: "Shop", URL: "/tools"}: {`class="brand" href="/tools"`},
		{URL: "/tools"}:               {`href="/tools"`, `<span translate="no">claimcheck</span>`},
	} {
		s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Brand = brand })
		body := s.get("/admin/").Body.String()
		for _, part := range want {
			if !strings.Contains(body, part) {
				t.Errorf("%+v: no %s in\n%.1500s", brand, part, body)
			}
		}
		if login := s.get("/admin/nowhere").Body.String(); !strings.Contains(login, want[len(want)-1]) {
			t.Errorf("%+v: an error page without it", brand)
		}
	}
}

func TestBrandsAreChecked(t *testing.T) {
	client := newSite(t, nil).client
	for field, brands := range map[string][]admin.Brand{
		"Config.Brand.Name must": {{Name: strings.Repeat("ä", 41)}, {Name: "a\nb"}, {Name: "a\u202eb"}, {Name: "\xff"}, {Name: "  "}},
		"Config.Brand.URL must":  {{URL: "javascript:alert(1)"}, {URL: "//evil.example"}, {URL: "tools"}, {URL: `/\evil`}, {URL: "https://"}, {URL: "https://a/" + strings.Repeat("x", 2000)}},
	} {
		for _, brand := range brands {
			if _, err := admin.New(admin.Config{Client: client, Access: admin.Open("x"), Brand: brand}); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("%.60q: %v", brand, err)
			}
		}
	}
	if _, err := admin.New(admin.Config{Client: client, Access: admin.Open("x"), Brand: admin.Brand{Name: strings.Repeat("ä", 40)}}); err != nil {
		t.Error(err)
	}
}

// The longest name breaks nothing, on a phone and on a desk, light and dark; nor does the
// page that leads to a login of the program's own.
func testALongBrandFits(t *testing.T, browser context.Context) {
	for _, name := range []string{strings.Repeat("W", 40), strings.Repeat("Wide ", 8)} {
		brand := admin.Brand{Name: name, URL: "/tools"}
		s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Brand = brand })
		away := newSite(t, func(c *admin.Config, _ *queue.Config) {
			c.Brand, c.Access = brand, closedBy{admin.Challenge("Negotiate")}
		})
		for page, site := range map[string]*site{"/admin/audit": s, "/admin/queues": away} {
			b := newTab(t, browser, site)
			for _, width := range []int64{390, 1280} {
				for _, dark := range []bool{false, true} {
					b.look(dark, width, 900)
					b.open(page)
					b.fits(page)
					b.audited(page)
					b.picture("brand"+map[bool]string{true: "-dark", false: ""}[dark]+map[int64]string{390: "-phone", 1280: ""}[width]+strings.ReplaceAll(page, "/", "-")+name[:2], false)
				}
			}
			b.ignore("Failed to load resource")
		}
	}
}
