package admin_test

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// settled is a page all parts of which have been read.
func (s *site) settled(path string) (body string) {
	for range 5 {
		if body = s.get(path).Body.String(); !strings.Contains(body, "data-again") {
			break
		}
	}
	return body
}

// What the overview of an empty database says is what this program can do: its arguments
// are accepted, and its addresses are those of the browser. It is gone once there is a task.
func TestTheFirstStep(t *testing.T) {
	type order struct {
		ID    int      `json:"id"`
		Name  string   `json:"name"`
		Lines []string `json:"lines"`
	}
	s := newSite(t, func(cfg *admin.Config, c *queue.Config) {
		cfg.EnqueueCommand, cfg.API, cfg.APIToken, cfg.ProxyPrefix = "shop enqueue", "/tasks", true, "/ops"
		c.Registry = queue.NewRegistry(
			queue.NewTask("claimcheck.own", func(context.Context, string) (int, error) { return 0, nil }),
			queue.Declare[string, int]("elsewhere"),
			queue.NewTask("orders.pack", func(context.Context, order) (int, error) { return 0, nil }))
	})
	body := html.UnescapeString(s.settled("/admin/"))
	for _, want := range []string{"No tasks yet", `href="/ops/admin/types/orders.pack#enqueue"`, "shop enqueue orders.pack '", `Bearer $TOKEN`, `'https://tasks.example/ops/tasks/enqueue/'`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
	for _, wrong := range []string{`class="tiles"`, `id="failing"`, "The last 24 hours", "No queue has tasks"} {
		if strings.Contains(body, wrong) {
			t.Errorf("%q on the page of an empty database", wrong)
		}
	}
	args := regexp.MustCompile(`shop enqueue orders.pack '(.*)'`).FindStringSubmatch(body)
	if args == nil {
		t.Fatal("no command")
	}
	if _, err := s.client.Enqueue(t.Context(), "orders.pack", json.RawMessage(args[1])); err != nil {
		t.Errorf("%s: %v", args[1], err)
	}
	if body := s.anew().settled("/admin/"); strings.Contains(body, "first task") {
		t.Error("it is still there")
	}
}

// The address of the API is that of the browser, or what the program says.
func TestTheAddressOfTheFirstStep(t *testing.T) {
	for _, test := range []struct{ api, host, forwarded, want string }{
		{"/tasks", "tasks.example", "", "https://tasks.example/tasks/enqueue/"},
		{"/tasks", "tasks.example", "http", "http://tasks.example/tasks/enqueue/"},
		{"/tasks", "tasks.example:8443", "HTTPS, http", "https://tasks.example:8443/tasks/enqueue/"},
		{"/tasks", "tasks.example", "gopher", "https://tasks.example/tasks/enqueue/"},
		{"/tasks", "localhost:8080", "", "http://localhost:8080/tasks/enqueue/"},
		{"/tasks", "localhost:8080", "https", "https://localhost:8080/tasks/enqueue/"},
		{"http://tasks.internal:8080/tasks/", "tasks.example", "https", "http://tasks.internal:8080/tasks/enqueue/"},
	} {
		s := newSite(t, func(cfg *admin.Config, _ *queue.Config) { cfg.API = test.api })
		s.settled("/admin/")
		r := httptest.NewRequest(http.MethodGet, "http://"+test.host+"/admin/", nil)
		r.Header.Set("X-Forwarded-Proto", test.forwarded)
		if body := html.UnescapeString(s.do(r).Body.String()); !strings.Contains(body, " '"+test.want+"'") {
			t.Errorf("%+v: %s", test, match(regexp.MustCompile(`(curl .*)</pre>`), body))
		}
	}
}

// A sweeper that has never run does not hide it.
func TestTheFirstStepBesideAWarning(t *testing.T) {
	s := newSite(t, func(cfg *admin.Config, c *queue.Config) {
		cfg.EnqueueCommand, cfg.SweepEvery = "shop enqueue", time.Minute
	})
	body := s.settled("/admin/")
	for _, want := range []string{"1 problem needs attention", "The sweeper has never run", "The database has no tasks yet.", "Enqueue a first task"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
}

// Without any task there is nothing to type.
func TestTheFirstStepWithoutATask(t *testing.T) {
	s := newSite(t, func(cfg *admin.Config, c *queue.Config) {
		cfg.EnqueueCommand, c.Registry = "shop enqueue", queue.NewRegistry()
	})
	if body := s.settled("/admin/"); !strings.Contains(body, "registers no task") || strings.Contains(body, "shop enqueue") {
		t.Errorf("%s", body)
	}
}

// Every page of an empty database is complete, wide and on a phone.
func testCrawlEmpty(t *testing.T, browser context.Context) {
	s := newSite(t, func(cfg *admin.Config, _ *queue.Config) { cfg.EnqueueCommand, cfg.API = "shop enqueue", "/tasks" })
	b := newTab(t, browser, s)
	for _, path := range []string{"", "tasks", "tasks?view=cancelled", "queues", "queues/emails", "schedules", "groups", "types", "types/billing.charge_card", "workers", "audit", "confirm?all=retry&view=failed"} {
		b.look(false, 1280, 900)
		b.open("/admin/" + path)
		b.until(`!document.querySelector("[data-again]")`)
		b.laidOut("empty " + path)
		b.readable("empty " + path)
		b.reachable("empty " + path)
		if path == "" {
			b.audited("empty overview")
			if got := b.text("section[aria-labelledby=first]"); !strings.Contains(got, "curl -X POST -H \"Content-Type: application/json\"") || !strings.Contains(got, "http://127.0.0.1:") {
				t.Errorf("the first step: %s", got)
			}
			b.picture("empty-overview", true)
		} else if !eval[bool](b, `!!document.querySelector(".empty, form.enqueue, tbody tr") || document.querySelector("h1").textContent === "Nothing to do"`) {
			t.Errorf("%s says nothing", path)
		}
		b.look(false, 390, 844)
		b.laidOut("empty " + path + " on a phone")
	}
	b.ignore("404")
}
