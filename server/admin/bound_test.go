package admin_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

// statuses counts the tasks of a name by status.
func (s *site) statuses(task string) map[queue.Status]int {
	s.t.Helper()
	rows, err := s.db.Query(`SELECT status, count(*) FROM claimcheck_tasks WHERE task_path = ? GROUP BY status`, task) //nolint:noctx // a test's
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	found := map[queue.Status]int{}
	for rows.Next() {
		var status queue.Status
		var n int
		if err := rows.Scan(&status, &n); err != nil {
			s.t.Fatal(err)
		}
		found[status] = n
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return found
}

// As many tasks are changed as the confirmation said, whatever came since.
func TestNoMoreIsChangedThanWasConfirmed(t *testing.T) {
	s := newSite(t, nil)
	for range 2 {
		s.enqueue("search.reindex", `{}`)
	}
	confirm := s.get("/admin/confirm?all=cancel&view=pending&task=search.reindex").Body.String()
	if got := match(firstH1, confirm); got != "Cancel 2 tasks?" {
		t.Fatalf("confirmation: %q", got)
	}
	for range 500 {
		s.enqueue("search.reindex", `{}`)
	}
	said := match(noticeText, s.follow(s.post("/admin/act", formOf(confirm))).Body.String())
	if want := "2 tasks are CANCELLED. 500 more matched by then: they were not confirmed and are unchanged."; said != want {
		t.Errorf("got  %q\nwant %q", said, want)
	}
	if found := s.statuses("search.reindex"); found[queue.StatusCancelled] != 2 || found[queue.StatusReady] != 500 {
		t.Errorf("afterwards: %v", found)
	}
}

// The bound holds for all requests of one action together.
func TestTheBoundHoldsOverSeveralRequests(t *testing.T) {
	s := newSite(t, nil)
	for range 250 {
		s.enqueue("search.reindex", `{}`)
	}
	form := formOf(s.get("/admin/confirm?all=cancel&view=pending").Body.String())
	for range 300 {
		s.enqueue("search.reindex", `{}`)
	}
	ctx, stop := context.WithCancel(t.Context())
	s.store.onAct(stop) // the time of the first request is over after one batch
	first := s.do(formRequest(form).WithContext(ctx), "Sec-Fetch-Site", "same-origin")
	if body := first.Body.String(); !strings.Contains(body, "200 of 250 tasks are done") {
		t.Fatalf("%d %s", first.Code, body)
	}
	form = formOf(first.Body.String())
	said := match(noticeText, s.follow(s.post("/admin/act", form)).Body.String())
	if want := "250 tasks are CANCELLED. 300 more matched by then: they were not confirmed and are unchanged."; said != want {
		t.Errorf("got  %q\nwant %q", said, want)
	}
	// The same once more, with nothing left of what was confirmed.
	form.Set("done", "250")
	s.follow(s.post("/admin/act", form))
	if found := s.statuses("search.reindex"); found[queue.StatusCancelled] != 250 {
		t.Errorf("afterwards: %v", found)
	}
}

// Without a number that was confirmed there is no bound, and so no action.
func TestAllThatMatchMustBeConfirmed(t *testing.T) {
	s := newSite(t, nil)
	s.enqueue("search.reindex", `{}`)
	for _, expected := range []string{"", "0", "-1", "many"} {
		w := s.post("/admin/act", url.Values{"all": {"cancel"}, "view": {"pending"}, "expected": {expected}})
		if w.Code != http.StatusBadRequest {
			t.Errorf("expected=%q: %d", expected, w.Code)
		}
	}
	if found := s.statuses("search.reindex"); found[queue.StatusReady] != 1 {
		t.Errorf("afterwards: %v", found)
	}
}
