package admin_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// spills reports texts that another text covers, or that reach beyond the window. What an
// ancestor clips, because it scrolls, is not seen.
const spills = `(() => {
	const shown = (element, rect) => {
		let { left, top, right, bottom } = rect;
		for (let at = element; at && at !== document.documentElement; at = at.parentElement) {
			const style = getComputedStyle(at);
			if (style.visibility === "hidden" || style.clipPath !== "none") return null;
			if (style.overflowX === "visible") continue;
			const box = at.getBoundingClientRect();
			left = Math.max(left, box.left); top = Math.max(top, box.top);
			right = Math.min(right, box.right); bottom = Math.min(bottom, box.bottom);
		}
		return right - left > 1 && bottom - top > 1 ? { left, top, right, bottom } : null;
	};
	const found = [], texts = [];
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const node = walker.currentNode, parent = node.parentElement;
		if (!node.data.trim() || parent.closest("script, noscript, svg, option, textarea, .skip, details:not([open]) > :not(summary)")) continue;
		const range = document.createRange();
		range.selectNodeContents(node);
		for (const line of range.getClientRects()) {
			const rect = shown(parent, line);
			if (rect) texts.push({ node, rect, says: node.data.trim().slice(0, 30) + " in " + parent.tagName + "." + parent.className });
		}
	}
	for (const [i, a] of texts.entries()) {
		if (a.rect.right > innerWidth + 1) found.push("beyond the window: " + a.says);
		for (const b of texts.slice(i + 1)) {
			if (a.node === b.node) continue;
			const wide = Math.min(a.rect.right, b.rect.right) - Math.max(a.rect.left, b.rect.left);
			const high = Math.min(a.rect.bottom, b.rect.bottom) - Math.max(a.rect.top, b.rect.top);
			if (wide > 2 && high > 6) found.push(a.says + " and " + b.says);
		}
	}
	return found.slice(0, 5);
})()`

// inView reports the current entries of the navigation and the tabs that are not in view.
const inView = `[...document.querySelectorAll(".top nav [aria-current], .tabs [aria-current]")].filter(at => {
	const box = at.getBoundingClientRect(), within = at.closest("nav").getBoundingClientRect();
	return box.left < 0 || box.right > innerWidth || box.left < within.left - 1 || box.right > within.right + 1;
}).map(at => at.textContent)`

// squeezed reports columns in which a text is broken after each few letters.
const squeezed = `[...document.querySelectorAll("td, th, dd, h1, h2, h3")].filter(at =>
	!at.matches(".pick") && at.innerText.length > 60 && at.getClientRects().length && at.clientWidth < 90 && at.clientHeight > 300).map(at => at.tagName + " " + at.innerText.slice(0, 30)).slice(0, 3)`

// laidOut reports what is wrong with how a page is laid out.
func (b *tab) laidOut(name string) {
	b.t.Helper()
	b.fits(name)
	for what, expression := range map[string]string{"overlaps": spills, "is not in view": inView, "is squeezed": squeezed} {
		for _, problem := range eval[[]string](b, expression) {
			b.t.Errorf("%s: %s: %s", name, what, problem)
		}
	}
}

// axNode is what a screen reader is given of an element.
type axNode struct {
	role, name string
	properties map[string]string
	children   []accessibility.NodeID
}

// heard reads the accessibility tree of the page.
func (b *tab) heard() (order []*axNode, byID map[accessibility.NodeID]*axNode) {
	b.t.Helper()
	tree, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	text := func(v *accessibility.Value) string {
		if v == nil {
			return ""
		}
		var s string
		if json.Unmarshal(v.Value, &s) != nil {
			s = string(v.Value)
		}
		return s
	}
	byID = make(map[accessibility.NodeID]*axNode)
	nodes := make(map[accessibility.NodeID]*accessibility.Node)
	for _, n := range tree.Nodes {
		nodes[n.NodeID] = n
	}
	var walk func(n *accessibility.Node)
	walk = func(n *accessibility.Node) {
		if n == nil {
			return
		}
		if !n.Ignored {
			node := &axNode{role: text(n.Role), name: strings.TrimSpace(text(n.Name)), properties: map[string]string{}, children: n.ChildIDs}
			for _, p := range n.Properties {
				node.properties[string(p.Name)] = text(p.Value)
			}
			order, byID[n.NodeID] = append(order, node), node
		}
		for _, id := range n.ChildIDs {
			walk(nodes[id])
		}
	}
	walk(tree.Nodes[0])
	return order, byID
}

// readable reports what a screen reader could not say of the page.
func (b *tab) readable(name string) {
	b.t.Helper()
	order, _ := b.heard()
	var headings, level int
	landmarks, tables, headers := map[string]int{}, 0, 0
	for _, n := range order {
		problem := func(text string) { b.t.Helper(); b.t.Errorf("%s: %s: %s %q", name, text, n.role, n.name) }
		switch n.role {
		case "heading":
			next := int(n.properties["level"][0] - '0')
			if next == 1 {
				headings++
			}
			if next > level+1 {
				problem("a level of headings is left out")
			}
			if level = next; n.name == "" {
				problem("no text")
			}
		case "button", "link", "textbox", "searchbox", "combobox", "checkbox", "spinbutton", "DisclosureTriangle", "progressbar", "image", "dialog":
			if n.name == "" {
				problem("no name")
			}
			if _, says := n.properties["expanded"]; n.role == "DisclosureTriangle" && !says {
				problem("open or not?")
			}
		case "navigation", "region", "search", "form", "main", "banner", "contentinfo":
			if n.role == "form" && n.name == "" {
				continue // it is no landmark
			}
			if n.name == "" && !strings.Contains("main banner contentinfo", n.role) {
				problem("no name")
			}
			if landmarks[n.role+n.name]++; landmarks[n.role+n.name] > 1 {
				problem("not the only one")
			}
		case "table":
			tables++
		case "columnheader":
			if headers++; n.name == "" {
				problem("no text")
			}
		}
	}
	if headings != 1 {
		b.t.Errorf("%s: %d headings of level 1", name, headings)
	}
	for _, role := range []string{"main", "banner", "contentinfo"} {
		if landmarks[role] != 1 {
			b.t.Errorf("%s: %d times %s", name, landmarks[role], role)
		}
	}
	if got := eval[int](b, `document.querySelectorAll("table").length`); eval[int](b, `[...document.querySelectorAll("table")].filter(t => t.querySelector("thead th[scope]")).length`) != got {
		b.t.Errorf("%s: %d tables, and not all have headers", name, got)
	}
	// What is read out when it changes: a notice, the state of a refresh, of the tasks, and
	// of an action.
	for _, live := range eval[[]string](b, `[...document.querySelectorAll("[role=status], [role=alert], [aria-live]")].filter(at =>
		!at.matches(".notice, .health > div, .lead[role=status]") && !at.querySelector("#away")).map(at => at.outerHTML.slice(0, 80))`) {
		b.t.Errorf("%s: read out although it does not change: %s", name, live)
	}
	if tables > 0 && headers == 0 {
		b.t.Errorf("%s: %d tables without headers", name, tables)
	}
}

// maxTabs is how many times Tab is pressed until the first action of a page.
const maxTabs = 8

// reachable reports a page whose first action is far away with a keyboard. The skip links
// are used as one does.
func (b *tab) reachable(name string) {
	b.t.Helper()
	const action = `main :is(button, .button, summary, [href='#enqueue'], form:not(.filters) :is(input:not([type=hidden]), select, textarea)):not(.filters *, .hide, [data-copy], :disabled)`
	if !eval[bool](b, `!!document.querySelector("`+action+`")`) {
		return
	}
	eval[chromedp.Void](b, `document.activeElement.blur(); scrollTo(0, 0); 0`)
	skips := eval[int](b, `document.querySelectorAll(".skip").length`)
	for range skips {
		b.do(chromedp.KeyEvent("\t"))
	}
	if !eval[bool](b, `document.activeElement.matches(".skip")`) {
		b.t.Errorf("%s: Tab does not begin with the links to skip", name)
		return
	}
	b.do(chromedp.KeyEvent("\r"))
	for tabs := skips; tabs < maxTabs; tabs++ {
		b.do(chromedp.KeyEvent("\t"))
		if eval[bool](b, `document.activeElement.matches("`+action+`")`) {
			return
		}
	}
	b.t.Errorf("%s: the first action is more than %d tabs away; there is %s", name, maxTabs, eval[string](b, `document.activeElement.outerHTML.slice(0, 100)`))
}

// namesOf255 gives everything that has a name one of 255 characters without a break.
func (s *site) namesOf255() (long string) {
	s.t.Helper()
	long = strings.Repeat("Wm", 127) + "x"
	for _, statement := range []string{
		`UPDATE claimcheck_tasks SET task_path = ?1, queue_name = ?1, backend_name = ?1, worker_ids = json_array(?1) WHERE task_path IN ('reports.render_pdf', 'media.transcode')`,
		`UPDATE claimcheck_tasks SET queue_name = ?1, worker_ids = json_array(?1), error_text = ?1 WHERE task_path IN ('billing.charge_card')`,
		`UPDATE claimcheck_groups SET name = ?1 WHERE name = 'open'`,
		`UPDATE claimcheck_schedules SET name = ?1, task_path = ?1 WHERE name = 'every-minute'`,
		`UPDATE claimcheck_audit SET actor = ?1, target = ?1 WHERE action = 'pause'`,
	} {
		s.exec(statement, long)
	}
	return long
}

// Every page of a bad night with the longest names: nothing overlaps, is cut off, out of
// view, far from the keyboard, or without a word for a screen reader.
func testCrawlTheNight(t *testing.T, browser context.Context) {
	s := newNight(t, func(_ *admin.Config, c *queue.Config) {
		c.Registry = queue.NewRegistry(queue.NewTask(strings.Repeat("Wm", 100), func(context.Context, map[string]int) (int, error) { return 0, nil }, queue.OnQueue(strings.Repeat("q", 100))),
			queue.NewTask("billing.charge_card", func(context.Context, struct{ Order string }) (int, error) { return 0, nil }))
	})
	s.groups()
	s.schedule("every-minute", "@every 1m", "America/Argentina/Buenos_Aires")
	s.schedule("nightly", "0 3 * * *", "Europe/Berlin")
	if _, err := s.client.PauseQueue(t.Context(), queue.GateRequest{Queue: strings.Repeat("q", 100), Actor: strings.Repeat("a", 190), Reason: strings.Repeat("r", 400)}, nil); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []queue.Limit{{Kind: queue.LimitName, Name: strings.Repeat("L", 200), Running: 1}, {Kind: queue.LimitQueue, Name: strings.Repeat("q", 100), Running: 1}} {
		if _, err := s.client.SetLimit(t.Context(), limit, "dana"); err != nil {
			t.Fatal(err)
		}
	}
	long := s.namesOf255()
	failed := s.someRow(queue.Selection{View: queue.ViewFailed, Task: long})
	group := s.groups()
	b := newTab(t, browser, s.anew())
	for _, page := range []struct{ name, path string }{
		{"overview", "/admin/"}, {"tasks", "/admin/tasks"}, {"cancelled", "/admin/tasks?view=cancelled&queue=" + long}, {"failed", "/admin/tasks?view=failed&task=" + long},
		{"task", "/admin/tasks/" + failed.ID.String()}, {"running", "/admin/tasks/" + s.someRow(queue.Selection{View: queue.ViewRunning, Task: long}).ID.String()},
		{"queues", "/admin/queues"}, {"queue", "/admin/queues/" + strings.Repeat("q", 100)}, {"other queue", "/admin/queues/" + long},
		{"schedules", "/admin/schedules"}, {"schedule", "/admin/schedules/" + long}, {"groups", "/admin/groups"}, {"group", "/admin/groups/" + group.String()},
		{"types", "/admin/types"}, {"type", "/admin/types/" + strings.Repeat("Wm", 100)}, {"again", "/admin/types/billing.charge_card?from=" + failed.ID.String()},
		{"workers", "/admin/workers"}, {"audit", "/admin/audit"}, {"confirm", "/admin/confirm?all=retry&view=failed&task=" + long}, {"nothing to do", "/admin/confirm?all=retry&view=failed&queue=" + long + "y"},
		{"refused", "/admin/tasks?queue=" + long + "&priority=" + long}, {"no such page", "/admin/" + long}, {"no such type", "/admin/types/" + long},
	} {
		b.look(false, 1280, 900)
		b.open(page.path)
		b.until(`!document.querySelector("[data-again]")`)
		b.laidOut(page.name)
		b.readable(page.name)
		b.reachable(page.name)
		b.picture("crawl-"+page.name, true)
		b.look(false, 390, 844)
		b.laidOut(page.name + " on a phone")
		b.picture("crawl-"+page.name+"-phone", true)
	}
	b.open("/admin/confirm?all=retry&view=failed&task=" + long)
	b.click("form.confirm button")
	b.until(`document.querySelector(".notice") && !document.querySelector("[data-again]")`)
	b.laidOut("notice on a phone")
	b.readable("notice")
	b.ignore("404")
	b.ignore("400")
}
