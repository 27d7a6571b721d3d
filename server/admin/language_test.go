package admin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/net/html"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// markedPages are pages whose words are all messages, or data.
var markedPages = []string{"/admin/nothing", "/admin/queues", "/admin/queues/billing", "/admin/tasks", "/admin/tasks?view=running", "/admin/tasks?view=pending&since=2h", "/admin/tasks?view=failed&task=billing.*&order=reverse", "/admin/tasks?args.user_id=1&text=ab&error=a&group=ab&queue=a&backend=a&priority=1&id=0&until=1h&stranded=1&parked=1&limited=1", "/admin/tasks?id=x&since=x&priority=x&view=x&x=x", "/admin/types", "/admin/workers", "/admin/audit", "/admin/", "/admin/confirm?all=retry&view=failed", "/admin/confirm?all=delete&view=successful&text=zzzz", "/admin/confirm?all=cancel&view=pending", "/admin/schedules"}

// Each word of a page is of a message, or is data: within an element with translate="no",
// which also keeps a browser's translation away from it.
func TestEachWordOfAPageIsOfAMessage(t *testing.T) {
	s := newNight(t, nil)
	admin.MarkMessages(s.handler)
	group := s.group("import", "emails.send_welcome", 2)
	pages := append(markedPages, "/admin/groups", "/admin/groups/"+group.String(), "/admin/groups/"+uuid.NewString())
	for _, view := range []queue.View{queue.ViewFailed, queue.ViewRunning, queue.ViewPending, queue.ViewSuccessful} {
		pages = append(pages, "/admin/tasks/"+s.someRow(queue.Selection{View: view}).ID.String())
	}
	for _, path := range pages {
		for _, text := range strayWords(t, strings.Replace(s.body(path), " · claimcheck</title>", "</title>", 1)) {
			t.Errorf("%s: %q is not a message", path, text)
		}
	}
}

// The same of the form to enqueue a task, with problems at its fields.
func TestEachWordOfAFormIsOfAMessage(t *testing.T) {
	s := orders(t, nil)
	admin.MarkMessages(s.handler)
	id := s.enqueue("shop.order", `{"user":7,"items":[{"price":2}],"more":{"a":"b"},"unknown":1}`)
	form := formOf(s.body("/admin/types/shop.order?from=" + id.String()))
	if form.Get("args/items/~n") != "1" {
		t.Fatalf("the form is not filled in: %v", form)
	}
	for _, change := range []url.Values{
		{}, {"args/user": {"x"}, "args/at": {"soon"}, "args/plan": {"x"}, "args/items/0/price": {""}, "priority": {"x"}, "when": {"x"}, "for": {"x"}, "queue": {"x y"}},
		{"do": {"json"}}, {"do": {"add:args/items"}}, {"do": {"open:args/to"}}, {"as": {""}, "args": {"{"}, "key": {strings.Repeat("k", 201)}}, {"as": {""}, "args": {`{"user":"x"}`}},
	} {
		sent := url.Values{}
		for name := range form {
			sent.Set(name, form.Get(name))
		}
		for name := range change {
			sent.Set(name, change.Get(name))
		}
		page := s.body("/admin/types/shop.order?from=" + id.String())
		if len(change) > 0 {
			page = s.post("/admin/enqueue", sent).Body.String()
		}
		for _, text := range strayWords(t, strings.Replace(page, " · claimcheck</title>", "</title>", 1)) {
			t.Errorf("%v: %q is not a message", change, text)
		}
	}
}

// body is a page, whatever its status.
func (s *site) body(path string) string {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Body.String()
}

var (
	marked = regexp.MustCompile(`⟦[^⟦⟧]*⟧`)
	word   = regexp.MustCompile(`\pL{2,}`)
	units  = regexp.MustCompile(`\d (?:ms|min)\b`) // of a length of time, which has no marks
)

// unmarked is what a text has outside of messages.
func unmarked(text string) string {
	for marked.MatchString(text) {
		text = marked.ReplaceAllString(text, "")
	}
	return text
}

// strayWords are the texts of a page that are neither messages nor data. An element that is
// an argument of a message stands between the marks of that.
func strayWords(t *testing.T, page string) (found []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	depth := 0 // of marks
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		switch n.Type {
		case html.TextNode:
			outside := ""
			for _, r := range n.Data {
				switch r {
				case '⟦':
					depth++
				case '⟧':
					depth--
				default:
					if depth == 0 {
						outside += string(r)
					}
				}
			}
			if word.MatchString(units.ReplaceAllString(outside, "")) {
				found = append(found, strings.TrimSpace(n.Data))
			}
			return
		case html.ElementNode:
			if slices.Contains([]string{"script", "style", "noscript", "svg"}, n.Data) {
				return
			}
			if slices.Contains(n.Attr, html.Attribute{Key: "translate", Val: "no"}) {
				return
			}
			for _, a := range n.Attr {
				if slices.Contains([]string{"aria-label", "title", "placeholder", "alt", "data-busy"}, a.Key) && n.Data != "time" && word.MatchString(unmarked(a.Val)) {
					found = append(found, a.Key+": "+a.Val)
				}
			}
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			walk(child)
		}
	}
	walk(root)
	if depth != 0 {
		t.Errorf("%d messages do not end", depth)
	}
	return found
}

// The language is the browser's, unless another one was chosen.
func TestLanguageOfAPage(t *testing.T) {
	s := newSite(t, nil)
	get := func(accept string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/admin/", nil)
		r.Header.Set("Accept-Language", accept)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		return w
	}
	in := func(w *httptest.ResponseRecorder) string {
		_, rest, _ := strings.Cut(w.Body.String(), `<html lang="`)
		tag, _, _ := strings.Cut(rest, `"`)
		if w.Header().Get("Content-Language") != tag {
			t.Errorf("header %q, attribute %q", w.Header().Get("Content-Language"), tag)
		}
		return tag
	}
	if got := in(get("")); got != "en" {
		t.Errorf("without a header: %q", got)
	}
	page := get("ja,en;q=0.5")
	if got := in(page); got != "ja" {
		t.Errorf("of a Japanese browser: %q", got)
	}
	if !strings.Contains(strings.Join(page.Header().Values("Vary"), ","), "Accept-Language") {
		t.Error("no Vary")
	}
	choose := func(form url.Values, want int) *http.Response {
		r := httptest.NewRequest(http.MethodPost, "/admin/language", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%v: %d, want %d: %s", form, w.Code, want, w.Body)
		}
		return w.Result()
	}
	answer := choose(url.Values{"to": {"pt-BR"}, "back": {"/admin/tasks?view=failed"}}, http.StatusSeeOther)
	if got := answer.Header.Get("Location"); got != "/admin/tasks?view=failed" {
		t.Errorf("back at %s", got)
	}
	if got := in(get("ja", answer.Cookies()...)); got != "pt-BR" {
		t.Errorf("after the choice: %q", got)
	}
	if got := choose(url.Values{"to": {"es"}, "back": {"https://elsewhere.example/"}}, http.StatusSeeOther).Header.Get("Location"); got != "/admin/" {
		t.Errorf("back elsewhere: %s", got)
	}
	choose(url.Values{"to": {"es"}, "back": {"/admin/tasks?text=" + strings.Repeat("%E6%97%A5", 1000)}}, http.StatusSeeOther)
	choose(url.Values{"to": {"xx"}}, http.StatusBadRequest)
	if got := in(get("ja", &http.Cookie{Name: "claimcheck_language", Value: "xx"})); got != "ja" {
		t.Errorf("with an unknown choice: %q", got)
	}
}

// A page that answers a form cannot be loaded again: the choice of a language leads to the
// page that has the form.
func TestLanguageOfAPageThatAnswersAForm(t *testing.T) {
	s := newSite(t, nil)
	for referer, want := range map[string]string{"http://tasks.example/admin/types/billing.charge_card": "/admin/types/billing.charge_card", "": "/admin/", "http://elsewhere.example/admin/types": "/admin/"} {
		page := s.post("/admin/enqueue", url.Values{"task": {"billing.charge_card"}, "args": {"{"}}, "Referer", referer).Body.String()
		if !strings.Contains(page, `<input type="hidden" name="back" value="`+want+`">`) {
			t.Errorf("from %q: %s", referer, page[strings.Index(page, "languages"):][:200])
		}
	}
}

// One set of templates serves readers of all languages, behind proxies with other prefixes, at
// once.
func TestReadersOfManyLanguagesAtOnce(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.ForwardedPrefix = true })
	var group sync.WaitGroup
	for i, l := range lang.Languages() {
		for _, prefix := range []string{"", "/ops", "/deep/er"} {
			group.Go(func() {
				for _, path := range []string{"/admin/", "/admin/tasks", "/admin/nothing", "/admin/types"} {
					page := s.get(path, "Accept-Language", l.Tag, "X-Forwarded-Prefix", prefix).Body.String()
					next := lang.For(lang.Languages()[(i+1)%len(lang.Languages())].Tag).T("Skip to content")
					if !strings.Contains(page, `<html lang="`+l.Tag+`">`) || !strings.Contains(page, `href="`+prefix+`/admin/tasks"`) ||
						!strings.Contains(page, ">"+lang.For(l.Tag).T("Skip to content")+"<") || strings.Contains(page, next) {
						t.Errorf("%s below %q in %s: %.300s", path, prefix, l.Tag, page)
					}
				}
			})
		}
	}
	group.Wait()
}
