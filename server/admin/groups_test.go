package admin_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// group creates a group with tasks of this name.
func (s *site) group(name, task string, members int) uuid.UUID {
	s.t.Helper()
	g, err := s.client.CreateGroup(s.t.Context(), queue.GroupSpec{
		Name: name, OnSuccess: &queue.Request{Task: task}, OnFailure: &queue.Request{Task: task},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for range members {
		s.enqueue(task, `{}`, queue.InGroup(g.ID))
	}
	return g.ID
}

// groups makes one group of each state, and returns one with members of each.
func (s *site) groups() uuid.UUID {
	s.t.Helper()
	mixed := s.group("the import of all orders of November of the warehouse in São Paulo", "billing.charge_card", 3)
	ids, err := s.client.GroupMembers(s.t.Context(), queue.MembersRequest{Group: mixed, Limit: 10})
	if err != nil {
		s.t.Fatal(err)
	}
	row, err := s.store.Claim(s.t.Context(), ids[0], queue.ClaimRequest{Tasks: []string{"billing.charge_card"}, Worker: "w", Lease: time.Minute, ClaimID: queue.NewClaimID()})
	if limited := (*queue.NotClaimedError)(nil); err != nil && !errors.As(err, &limited) {
		s.t.Fatal(err)
	}
	if err == nil {
		_, err = s.store.Finish(s.t.Context(), row.Claim(), queue.Finish{Status: queue.StatusFailed, Errors: []queue.AttemptError{{ExceptionClassPath: "billing.Error", Message: "card " + strings.Repeat("5003", 60), At: time.Now()}}})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if _, _, err := s.client.Cancel(s.t.Context(), ids[1]); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.client.CloseGroup(s.t.Context(), s.group("", "billing.charge_card", 0)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.client.CloseGroup(s.t.Context(), mixed); err != nil {
		s.t.Fatal(err)
	}
	s.group("open", "billing.charge_card", 1)
	return mixed
}

func TestGroupsAreShownClosedAndCancelled(t *testing.T) {
	s := newSite(t, nil)
	s.shows("/admin/groups", "There are no groups.")
	id := s.group("import <7>", "emails.send_welcome", 2)
	page := "/admin/groups/" + id.String()
	s.shows("/admin/groups", "import &lt;7&gt;", ">open</b>", page)
	s.shows(page, "It is open: tasks may be added", "When all tasks have succeeded", "emails.send_welcome", "Unfinished", `value="close"`, "2 unfinished tasks will be cancelled. This cannot be undone")
	member, err := s.client.GroupMembers(t.Context(), queue.MembersRequest{Group: id, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.shows("/admin/tasks/"+member[0].String(), "<dt>Group</dt>", page, "import &lt;7&gt;")

	if got := s.follow(s.post("/admin/group/act", url.Values{"group": {id.String()}, "do": {"close"}})).Body.String(); !strings.Contains(got, "The group is closed") || strings.Contains(got, `value="close"`) || !strings.Contains(got, ">running</b>") {
		t.Errorf("close: %s", got)
	}
	if got := s.follow(s.post("/admin/group/act", url.Values{"group": {id.String()}, "do": {"cancel"}})).Body.String(); !strings.Contains(got, "2 tasks were cancelled.") || !strings.Contains(got, ">failed</b>") || strings.Contains(got, `value="cancel"`) {
		t.Errorf("cancel: %s", got)
	}
	end := "/admin/tasks/" + queue.CompletionID(id, false).String()
	s.shows(page, end, "was enqueued", "Failed and cancelled")
	s.shows(end, "<dt>Group</dt>", "enqueued by the end of the group")
	s.shows("/admin/audit", "close group", "tasks of group "+id.String())
}

func TestTheTasksOfAGroupThatAreDeletedAreShownAsSuch(t *testing.T) {
	s := newSite(t, nil)
	id := s.group("", "emails.send_welcome", 1)
	if _, err := s.client.CancelGroup(t.Context(), id, "ops", nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.client.Purge(t.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusCancelled}}, nil); err != nil {
		t.Fatal(err)
	}
	s.shows("/admin/groups/"+id.String(), ">deleted</p>", "Group "+id.String())
}

func TestRequestsAboutGroupsThatAreRefused(t *testing.T) {
	s := newSite(t, nil)
	id := s.group("", "emails.send_welcome", 0)
	for _, path := range []string{"/admin/groups/7", "/admin/groups/" + uuid.NewString()} {
		if got := s.get(path); got.Code != http.StatusNotFound || !strings.Contains(got.Body.String(), "No such group") {
			t.Errorf("%s: %d", path, got.Code)
		}
	}
	if got := s.get("/admin/groups?after=x"); got.Code != http.StatusBadRequest {
		t.Errorf("after: %d", got.Code)
	}
	for status, form := range map[int]url.Values{
		http.StatusBadRequest: {"group": {id.String()}, "do": {"delete"}},
		http.StatusNotFound:   {"group": {uuid.NewString()}, "do": {"close"}},
	} {
		if got := s.post("/admin/group/act", form); got.Code != status {
			t.Errorf("%v: %d, want %d", form, got.Code, status)
		}
	}
}
