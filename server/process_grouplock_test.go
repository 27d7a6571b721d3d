package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// While a caller's transaction holds a group, ends of its members, more than there are
// slots, delay neither each other nor tasks of no group; after it the group ends.
func TestALockedGroupLeavesTheSlotsToOthers(t *testing.T) {
	for name, database := range procDatabases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databaseURL, group := database.start(t), uuid.New()
			s := procServe(t, t.TempDir(), []string{"DATABASE_URL=" + databaseURL, "TASKS_MODE=local", procToken}, "--migrate", "--concurrency=2")
			s.wantStatus(http.MethodPost, "/tasks/groups/", `{"id":"`+group.String()+`","on_failure":{"task":"demo.echo"}}`, http.StatusCreated)
			s.wantStatus(http.MethodPost, "/tasks/queues/held/pause/", "", http.StatusOK)
			var members, others []*queue.Row
			for range 5 {
				members = append(members, s.enqueue(`{"task":"demo.panic","queue_name":"held","priority":9,"group_id":"`+group.String()+`"}`))
				others = append(others, s.enqueue(`{"task":"demo.echo","queue_name":"held"}`))
			}
			tx, err := database.open(t, databaseURL).BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), "UPDATE claimcheck_groups SET name = 'locked' WHERE id = '"+group.String()+"'"); err != nil {
				t.Fatal(err)
			}
			s.wantStatus(http.MethodPost, "/tasks/queues/held/resume/", "", http.StatusOK)
			for i := range members {
				s.wantEnd(members[i].ID, queue.StatusFailed, 1)
				s.wantEnd(others[i].ID, queue.StatusSuccessful, 1)
			}
			end := queue.CompletionID(group, false)
			s.wantStatus(http.MethodGet, "/tasks/result/"+end.String()+"/", "", http.StatusNotFound)
			procWait(t, "the log line", func() bool {
				return strings.Contains(s.log.String(), "the end of a group waits for another transaction")
			})
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			procWait(t, "the log line", func() bool {
				return strings.Contains(s.log.String(), "the end of a group was handled, which another transaction had locked")
			})
			s.wantEnd(end, queue.StatusSuccessful, 1)
		})
	}
}

func (s *procServer) wantStatus(method, path, body string, status int) {
	s.t.Helper()
	if reply := s.do(method, path, body, "Content-Type", "application/json"); reply.status != status {
		s.t.Fatalf("%s %s: %d %s", method, path, reply.status, reply.text)
	}
}
