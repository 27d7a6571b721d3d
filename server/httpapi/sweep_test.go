package httpapi_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// switchable is a dispatcher that fails as long as it has an error.
type switchable struct{ err error }

func (s *switchable) Dispatch(context.Context, ...queue.Ticket) error { return s.err }

func TestSweepAnswersWithWhatItDid(t *testing.T) {
	out := &switchable{errors.New("quota")}
	a := newAPI(t, func(_ *httpapi.Config, q *queue.Config) { q.Dispatcher = out })
	const nothing = `{"dispatched":0,"reclaimed":0,"armed":0,"failed":0,"errors":0,"enqueued":0}`
	a.expect("nothing to do", a.do("POST", "/tasks/sweep/", ""), 200, nothing)
	for range 3 {
		a.enqueue(`{"task":"t.echo"}`)
	}
	a.enqueue(`{"task":"t.echo","run_after":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`)
	a.expect("stranded", a.do("GET", "/tasks/status/", ""), 200, `"stranded_count":4,"oldest_stranded_since":"20`)
	a.expect("all refused", a.do("POST", "/tasks/sweep/", ""), 500, `{"dispatched":0,"reclaimed":0,"armed":0,"failed":0,"errors":3,"enqueued":0}`)
	out.err = nil
	a.expect("one", a.do("GET", "/tasks/sweep?limit=1", ""), 200, `{"dispatched":0,"reclaimed":0,"armed":1,"failed":0,"errors":0,"enqueued":0}`)
	a.expect("the rest", a.do("POST", "/tasks/sweep", `{"limit":10}`), 200, `{"dispatched":3,"reclaimed":0,"armed":0,"failed":0,"errors":0,"enqueued":0}`)
	a.expect("none stranded", a.do("GET", "/tasks/status/", ""), 200, `"stranded_count":0}`)
	for range 2 {
		id := uuid.MustParse(a.enqueue(`{"task":"t.fail"}`))
		_, err := a.store.Claim(t.Context(), id, queue.ClaimRequest{Tasks: []string{"t.fail"}, Worker: "gone", Lease: -time.Second, ClaimID: uuid.New()})
		if err != nil {
			t.Fatal(err)
		}
	}
	a.expect("reclaimed", a.do("POST", "/tasks/sweep/", `{"limit":null}`), 200, `{"dispatched":2,"reclaimed":2,"armed":0,"failed":0,"errors":0,"enqueued":0}`)
	a.expect("done", a.do("GET", "/tasks/sweep/", ""), 200, nothing)
}

func TestSweepRefusesBadLimits(t *testing.T) {
	a := newAPI(t, nil)
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "/tasks/sweep/", `{"limit":0}`, "limit must be a positive integer"},
		{"POST", "/tasks/sweep/", `{"limit":"5"}`, "limit must be a positive integer"},
		{"POST", "/tasks/sweep/", `{"limit":10001}`, "limit cannot exceed 10000"},
		{"POST", "/tasks/sweep/", `{"max":1}`, `unknown field`},
		{"POST", "/tasks/sweep/", `[]`, "Invalid JSON"},
		{"GET", "/tasks/sweep/?limit=-1", "", "limit must be a positive integer"},
		{"GET", "/tasks/sweep/?limit=x", "", "limit must be a positive integer"},
	} {
		if got := a.do(c.method, c.path, c.body); got.status != 400 || !strings.Contains(got.text, c.want) {
			t.Errorf("%s %s %s: %d %s, want %s", c.method, c.path, c.body, got.status, got.text, c.want)
		}
	}
	if got := a.do("PUT", "/tasks/sweep/", ""); got.status != 405 || got.header.Get("Allow") != "POST, GET" {
		t.Errorf("%d, Allow %q", got.status, got.header.Get("Allow"))
	}
}
