package admin_test

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

type orderItem struct {
	Price float64 `json:"price"`
	Note  *string `json:"note,omitempty"`
}

// orderArgs are arguments with each kind of field.
type orderArgs struct {
	User  int               `json:"user" jsonschema:"required,description=Who has ordered"`
	Plan  string            `json:"plan,omitempty" jsonschema:"enum=free,enum=team"`
	Gift  bool              `json:"gift"`
	At    time.Time         `json:"at"`
	Items []orderItem       `json:"items"`
	To    *orderItem        `json:"to"`
	More  map[string]string `json:"more,omitempty"`
	Extra any               `json:"extra,omitempty"`
}

// orders is a site whose tasks have such arguments.
func orders(t testing.TB, change func(*admin.Config, *queue.Config)) *site {
	t.Helper()
	nothing := func(context.Context, orderArgs) (any, error) { return nil, nil }
	tell := queue.NewTask("shop.tell", func(context.Context, queue.Failed) (any, error) { return nil, nil })
	return newSite(t, func(c *admin.Config, q *queue.Config) {
		q.Registry = queue.NewRegistry(
			queue.NewTask("shop.order", nothing, queue.Description("Sends what was ordered."), queue.Alias("shop.buy"), queue.OnQueue("shop"), queue.MaxAttempts(3),
				queue.Backoff(func(attempt int) time.Duration { return time.Duration(attempt) * 10 * time.Second }), queue.Keep(time.Hour, 48*time.Hour), queue.OnFailed(tell)),
			tell,
			queue.NewTask("shop.any", func(context.Context, any) (any, error) { return nil, nil }),
		)
		if change != nil {
			change(c, q)
		}
	})
}

// pressed sends a form with more fields, and returns the page that follows and its form.
func (s *site) pressed(form url.Values, more ...string) (body string, next url.Values) {
	s.t.Helper()
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	w := s.post("/admin/enqueue", form)
	if w.Code != http.StatusOK {
		s.t.Fatalf("%v: %d %s", more, w.Code, w.Body)
	}
	next = url.Values{}
	for name, values := range form { // what was typed stays in the fields
		next[name] = values
	}
	next.Del("do")
	next.Del("as")
	for name := range next {
		if strings.HasPrefix(name, "args") {
			next.Del(name)
		}
	}
	for name, values := range formOf(w.Body.String()) {
		next[name] = values
	}
	for name, values := range typedIn(w.Body.String()) {
		next[name] = values
	}
	return html.UnescapeString(w.Body.String()), next
}

func (s *site) stored() int {
	s.t.Helper()
	page, err := s.operator().List(s.t.Context(), queue.ListRequest{Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(page.Rows)
}

func TestAFormIsFilledInWithoutJavaScript(t *testing.T) {
	s := orders(t, nil)
	form := formOf(s.get("/admin/types/shop.order").Body.String())
	body, form := s.pressed(form, "args/user", "7", "args/at", "2026-01-31 15:04", "do", "add:args/items")
	if !strings.Contains(body, `name="args/items/0/price" value="" `) || !strings.Contains(body, "autofocus") {
		t.Fatalf("no item: %s", body)
	}
	_, form = s.pressed(form, "args/items/0/price", "1.50", "do", "add:args/items")
	_, form = s.pressed(form, "args/items/1/price", "2", "args/items/1/note", "x", "do", "open:args/to")
	_, form = s.pressed(form, "args/to/price", "3", "do", "add:args/more")
	_, form = s.pressed(form, "args/more/0/~key", "a", "args/more/0", "b", "do", "drop:args/items/0")
	body, form = s.pressed(form, "args/gift", "true", "args/plan", `"team"`, "do", "json")
	const want = `{
  "user": 7,
  "plan": "team",
  "gift": true,
  "at": "2026-01-31T15:04:00Z",
  "items": [
    {
      "price": 2,
      "note": "x"
    }
  ],
  "to": {
    "price": 3
  },
  "more": {
    "a": "b"
  }
}`
	if !strings.Contains(body, want+"</textarea>") {
		t.Fatalf("no %s in %s", want, body)
	}
	body, form = s.pressed(form, "args", strings.Replace(want, `"gift": true`, `"gift": false, "unknown": [1]`, 1), "do", "form")
	if !strings.Contains(body, "Other members, as JSON") || !strings.Contains(body, `name="args/items/0/note" value="x"`) {
		t.Fatalf("not in the form again: %s", body)
	}
	if n := s.stored(); n > 0 {
		t.Fatalf("%d tasks are stored before the form is sent", n)
	}
	w := s.post("/admin/enqueue", form)
	if again := s.post("/admin/enqueue", form); again.Header().Get("Location") != w.Header().Get("Location") || s.stored() != 1 {
		t.Errorf("sent twice: %d tasks", s.stored())
	}
	s.follow(w)
	row := s.row(uuid.MustParse(strings.TrimPrefix(w.Header().Get("Location"), "/admin/tasks/")))
	const args = `{"user":7,"plan":"team","gift":false,"at":"2026-01-31T15:04:00Z","items":[{"price":2,"note":"x"}],"to":{"price":3},"more":{"a":"b"},"unknown":[1]}`
	if string(row.Args) != args {
		t.Errorf("%s, want %s", row.Args, args)
	}
	if body := s.get("/admin/types/shop.order?from=" + row.ID.String()).Body.String(); !strings.Contains(body, `name="args/items/0/note" value="x"`) || !strings.Contains(body, `<option translate="no" value="&#34;team&#34;" selected>`) {
		t.Errorf("not filled with the task's arguments: %s", body)
	}
}

func TestProblemsAreAtTheFieldsOfTheForm(t *testing.T) {
	s := orders(t, nil)
	form := formOf(s.get("/admin/types/shop.order").Body.String())
	for name, value := range map[string]string{"args/user": "<seven>", "args/at": "soon", "args/extra": "{", "args/plan": `"none"`, "priority": "high"} {
		form.Set(name, value)
	}
	w := s.post("/admin/enqueue", form)
	body := html.UnescapeString(w.Body.String())
	for _, want := range []string{"Correct the fields marked below", "Enter a whole number.", "Enter a time in UTC", "This is not JSON", "Choose one of the options.", `id="w-priority"`, `value="<seven>"`, `value="soon"`} {
		if w.Code != 422 || !strings.Contains(body, want) {
			t.Errorf("%d, no %s", w.Code, want)
		}
	}
	if n := strings.Count(body, `aria-invalid="true" aria-describedby="a`); n != 4 || s.stored() > 0 {
		t.Errorf("%d fields are marked, %d tasks stored: %s", n, s.stored(), body)
	}
	empty := s.post("/admin/enqueue", formOf(s.get("/admin/types/shop.order").Body.String()))
	if body := html.UnescapeString(empty.Body.String()); empty.Code != 422 || !strings.Contains(body, "This is required.") {
		t.Errorf("without what is required: %d", empty.Code)
	}
	for _, do := range []string{"add:args/user", "add:nothing", "enqueue"} {
		form.Set("do", do)
		if w := s.post("/admin/enqueue", form); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", do, w.Code)
		}
	}
	for args, says := range map[string]string{`{"user":"x"}`: "do not fit the form", `{`: "This is not JSON"} {
		w := s.post("/admin/enqueue", url.Values{"task": {"shop.order"}, "args": {args}, "do": {"form"}})
		if body := html.UnescapeString(w.Body.String()); !strings.Contains(body, says) || !strings.Contains(body, args+"</textarea>") {
			t.Errorf("%s: no %q", args, says)
		}
	}
}

func TestArgumentsThatDoNotFitAFormAreJSON(t *testing.T) {
	s := orders(t, nil)
	if body := s.get("/admin/types/shop.any").Body.String(); !strings.Contains(body, "Arguments, as JSON") || strings.Contains(body, "Edit in a form") {
		t.Error("arguments of any kind have a form")
	}
	id := s.enqueue("shop.order", `{"user":1,"to":null,"more":{"a":"b\r\n"}}`)
	body := html.UnescapeString(s.get("/admin/types/shop.order?from=" + id.String()).Body.String())
	if !strings.Contains(body, `"a": "b\r\n"`) || !strings.Contains(body, "Edit in a form") {
		t.Errorf("a text that a browser would change is in a field: %s", body)
	}
}

func TestTypePage(t *testing.T) {
	s := orders(t, nil)
	if _, _, err := s.client.PutSchedule(t.Context(), queue.ScheduleRequest{Name: "nightly-orders", Task: "shop.order", Args: orderArgs{User: 1}, Spec: "@daily"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.RunSchedule(t.Context(), "nightly-orders", "ops"); err != nil {
		t.Fatal(err)
	}
	s.enqueue("shop.order", `{"user":2}`)
	if _, err := s.client.SetLimit(t.Context(), queue.Limit{Kind: queue.LimitQueue, Name: "shop", Running: 3}, "ops"); err != nil {
		t.Fatal(err)
	}
	for range 4 { // until all parts are read
		s.get("/admin/types/shop.order")
	}
	text := plain(s.get("/admin/types/shop.order").Body.String())
	for _, want := range []string{
		"Sends what was ordered.", "Backoff 10 s, 20 s", "Retention 1 h after success, 2 d after failure", "enqueues shop.tell", "Aliases shop.buy", "at most 3 running",
		"Schedule nightly-orders 1 of the latest 2", "Time limit none", "Encrypted no", "Programs 1 of the latest 2", "No task of this type is FAILED", "Latest tasks",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if text := plain(s.get("/admin/types/shop.tell").Body.String()); !strings.Contains(text, "The final failure of shop.order") || !strings.Contains(text, "Backoff 1 s, doubled") {
		t.Errorf("%s", text)
	}
	timed := orders(t, func(c *admin.Config, _ *queue.Config) { c.Timeout = 90 * time.Second })
	if text := plain(timed.get("/admin/types/shop.tell").Body.String()); !strings.Contains(text, "Time limit 1 min 30 s by default") || !strings.Contains(text, "Retention until a purge") {
		t.Errorf("%s", text)
	}
	night := newNight(t, nil)
	for range 4 {
		night.get("/admin/types/billing.charge_card")
	}
	body := night.get("/admin/types/billing.charge_card").Body.String()
	if !strings.Contains(body, "<td class=\"n\">371</td>") || !strings.Contains(body, "group=") {
		t.Errorf("the failures are not grouped: %s", plain(body))
	}
}

// What is typed into a form's fields stays there when parts are added and taken away.
func testTypeForm(t *testing.T, browser context.Context) {
	s := orders(t, nil)
	b := newTab(t, browser, s)
	for _, scripts := range []bool{true, false} {
		b.do(call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts}))
		b.open("/admin/types/shop.order")
		b.do(chromedp.SendKeys(chromedp.CSS(`[name="args/user"]`), "7"))
		b.click(`[value="add:args/items"]`)
		b.until(`document.activeElement.name === "args/items/0/price"`)
		b.do(chromedp.SendKeys(chromedp.CSS(`[name="args/items/0/price"]`), "1.5"))
		b.click(`[value="open:args/to"]`)
		b.click(`[value="add:args/more"]`)
		if scripts {
			for _, look := range []struct {
				name  string
				dark  bool
				width int64
			}{{"", false, 1280}, {"-dark", true, 1280}, {"-phone", false, 390}} {
				b.look(look.dark, look.width, 900)
				b.fits("form" + look.name)
				b.audited("form" + look.name)
				b.picture("type-form"+look.name, true)
			}
			b.look(false, 1280, 900)
		}
		b.click(`[value="close:args/to"]`)
		b.do(chromedp.SendKeys(chromedp.CSS(`[name="args/more/0/~key"]`), "a"))
		b.do(chromedp.SendKeys(chromedp.CSS(`[name="args/items/0/note"]`), "by Enter\r")) // the form is sent, not a part of it removed
		b.do(chromedp.WaitVisible(chromedp.CSS(".notice.good")))
		if got := b.text("pre"); !strings.Contains(got, `"price": 1.5`) || !strings.Contains(got, `"user": 7`) || !strings.Contains(got, `"to": null`) || !strings.Contains(got, "by Enter") {
			t.Errorf("the task has the arguments %s", got)
		}
	}
	if n := s.stored(); n != 2 {
		t.Errorf("%d tasks", n)
	}
}
