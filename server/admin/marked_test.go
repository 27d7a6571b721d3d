package admin_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// noStrays fails if an answer has a word that is neither of a message nor data.
func (s *site) noStrays(what, page string) {
	s.t.Helper()
	if !strings.Contains(page, "⟦") {
		s.t.Errorf("%s has no message: %s", what, page)
	}
	for _, text := range strayWords(s.t.(*testing.T), strings.Replace(page, " · claimcheck</title>", "</title>", 1)) {
		s.t.Errorf("%s: %q is not a message", what, text)
	}
}

// What an operator can set is on the pages in messages too, and so are the notices.
func TestEachWordAboutQueuesTypesAndSchedulesIsOfAMessage(t *testing.T) {
	service := cloud{func(context.Context, string) []queue.DispatchQueue {
		return []queue.DispatchQueue{
			{Name: "projects/p/queues/a", State: "PAUSED", MaxPerSecond: 12.5, MaxBurst: 10, MaxConcurrent: 80, MaxAttempts: -1, MinBackoff: time.Second, MaxBackoff: time.Minute, Depth: &queue.DispatchDepth{Tickets: 1, OldestDue: time.Now()}},
			{Name: "projects/p/queues/b", State: "RUNNING", MaxAttempts: 3, MaxRetryTime: time.Hour},
		}
	}, make(chan string, 100)}
	s := newNight(t, func(_ *admin.Config, q *queue.Config) {
		q.Dispatcher, q.MaxBacklog = service, map[string]int{"emails": 1}
		q.Limits = []queue.Limit{{Kind: queue.LimitQueue, Name: "emails", Running: 4}}
	})
	admin.MarkMessages(s.handler)
	form := func(pairs ...string) url.Values {
		values := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return values
	}
	put := []string{"name", "nightly", "task", "emails.send_welcome", "spec", "@every 1m", "zone", "UTC", "args", `{"unknown":1}`, "catch_up", "all", "overlap", "skip"}
	for _, post := range []struct {
		path string
		form url.Values
	}{
		{"/admin/pause", form("queue", "partner", "reason", "maintenance")}, {"/admin/pause", form("queue", "partner")}, {"/admin/pause", form("queue", "media")},
		{"/admin/resume", form("queue", "media")}, {"/admin/resume", form("queue", "media")}, {"/admin/pause", form("queue", "a b")},
		{"/admin/limit", form("do", "set", "kind", "queue", "name", "emails", "running", "20", "starts", "100", "per", "60s")},
		{"/admin/limit", form("do", "set", "kind", "name", "name", "emails.send_welcome", "starts", "100", "per", "60s")},
		{"/admin/limit", form("do", "set", "kind", "name", "name", "acme", "running", "1")},
		{"/admin/limit", form("do", "set", "kind", "each", "name", "emails.send_welcome", "running", "1")},
		{"/admin/limit", form("do", "remove", "kind", "name", "name", "acme")}, {"/admin/limit", form("do", "x")},
		{"/admin/limit", form("do", "set", "kind", "queue", "name", "emails", "running", "x")}, {"/admin/limit", form("do", "set", "kind", "queue", "name", "emails", "starts", "x")},
		{"/admin/limit", form("do", "set", "kind", "queue", "name", "emails", "starts", "1")}, {"/admin/limit", form("do", "set", "kind", "queue", "name", "emails")},
		{"/admin/schedule/put", form(put...)}, {"/admin/schedule/put", form(put...)}, {"/admin/schedule/put", form(append(put, "args", "{")...)}, {"/admin/schedule/put", form(append(put, "spec", "often")...)},
		{"/admin/schedule/act", form("name", "nightly", "do", "run")}, {"/admin/schedule/act", form("name", "nightly", "do", "pause")},
		{"/admin/schedule/act", form("name", "nightly", "do", "x")}, {"/admin/schedule/act", form("name", "x", "do", "run")},
	} {
		w := s.post(post.path, post.form)
		if w.Code == http.StatusSeeOther {
			w = s.follow(w)
		}
		s.noStrays(post.path+" "+post.form.Encode(), w.Body.String())
	}
	for _, path := range []string{
		"/admin/queues", "/admin/queues/emails", "/admin/queues/partner", "/admin/queues/nowhere", "/admin/types", "/admin/types/billing.charge_card", "/admin/types/emails.send_welcome",
		"/admin/schedules", "/admin/schedules?change=nightly", "/admin/schedules/nightly", "/admin/schedules/x", "/admin/audit", "/admin/audit?actor=x", "/admin/audit.jsonl?since=x&until=y", "/admin/audit.jsonl?x=1",
	} {
		for range 4 { // until all parts are read
			s.noStrays(path, s.body(path))
		}
	}
}

// The pages for a login have messages, too.
func TestEachWordOfALoginIsOfAMessage(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Access = admin.Tokens("right-token-of-admins", "") })
	admin.MarkMessages(s.handler)
	s.noStrays("the login page", s.body("/admin/"))
	s.noStrays("a wrong token", s.post("/admin/login", url.Values{"token": {"wrong"}}).Body.String())
	s.noStrays("a login without a form", s.post("/admin/login", nil, "Content-Type", "text/plain").Body.String())
	for _, refusal := range []error{admin.Redirect("/login"), admin.Challenge("Bearer"), admin.ErrForbidden} {
		s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Access = refuses{refusal} })
		admin.MarkMessages(s.handler)
		s.noStrays(refusal.Error(), s.post("/admin/act", url.Values{}).Body.String())
	}
}

// refuses is an Access that admits no one.
type refuses struct{ err error }

func (r refuses) Identify(*http.Request) (admin.Person, error) { return admin.Person{}, r.err }
