package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/queue"
)

// groupSize is how many tasks a group of a run has.
const groupSize = 6

// group is one group of a run.
type group struct {
	id      uuid.UUID
	members []request
	closed  bool // which was acknowledged
}

// groups are those of a run.
type groups struct {
	mu  sync.Mutex
	all []*group
}

// The tasks that a group enqueues.
var groupSuccess, groupFailure = tasks.Plain.Name(), tasks.Flaky.Name()

// produceGroup makes a group and closes it. What fails of that, endGroups repeats.
func (r *run) produceGroup(random *rand.Rand) {
	g := &group{id: uuid.Must(uuid.NewV7())}
	bad := random.IntN(4) == 0 // of which one task fails for good
	for i := range groupSize {
		m := request{id: uuid.Must(uuid.NewV7()), name: tasks.Plain.Name(), args: tasks.Args{Millis: random.IntN(60)}}
		if bad && i == 0 {
			m.name = tasks.Poison.Name()
		}
		g.members = append(g.members, m)
		r.promises.set(m.id, m.promise())
	}
	r.groups.mu.Lock()
	r.groups.all = append(r.groups.all, g)
	r.groups.mu.Unlock()
	r.fill(g)
}

// fill creates a group, adds its tasks and closes it. All of that may be repeated.
func (r *run) fill(g *group) {
	ask := func(path string, body map[string]any) bool {
		status, text, err := r.post(path, body)
		if err == nil && status >= 400 && status < 500 && status != http.StatusConflict && status != http.StatusTooManyRequests {
			r.broken("what makes a group may be repeated", g.id, fmt.Sprintf("%s: %d %s", path, status, text))
		}
		return err == nil && (status == http.StatusOK || status == http.StatusCreated)
	}
	end := func(task string) map[string]any { return map[string]any{"task": task, "args": tasks.Args{}} }
	if !ask("/tasks/groups/", map[string]any{"id": g.id, "on_success": end(groupSuccess), "on_failure": end(groupFailure)}) {
		return
	}
	for _, m := range g.members {
		if !ask("/tasks/enqueue/", map[string]any{"task": m.name, "args": m.args, "id": m.id, "group_id": g.id}) {
			return
		}
		promised := m.promise()
		promised.acked = true
		r.promises.set(m.id, promised)
	}
	g.closed = ask("/tasks/groups/"+g.id.String()+"/close/", map[string]any{})
	if g.closed {
		r.tally.add("group", 1)
	}
}

// endGroups closes the groups of which something failed.
func (r *run) endGroups() {
	giveUp := time.Now().Add(r.options.drain)
	for _, g := range r.groups.all {
		for !g.closed && time.Now().Before(giveUp) {
			if r.fill(g); !g.closed {
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
}

// unfinishedGroups counts the closed groups whose end nobody has handled.
const unfinishedGroups = `SELECT count(*) FROM claimcheck_groups WHERE closed_at IS NOT NULL AND succeeded_at IS NULL AND failed_at IS NULL`

// The rules of groups.
const (
	ruleCounted  = "a group counts each of its tasks as it has ended"
	ruleGroupEnd = "a group enqueues its success once, after all of its tasks have succeeded, or else its failure once"
)

// groupEnds are the tasks that groups have enqueued.
func (s state) groupEnds() map[uuid.UUID][]string {
	ends := make(map[uuid.UUID][]string)
	for _, row := range s.rows {
		if row.completes != uuid.Nil {
			ends[row.completes] = append(ends[row.completes], row.task)
		}
	}
	return ends
}

// groupsSoFar checks the groups also while a run goes on: what has been enqueued came once,
// and a success came after all tasks had succeeded.
func (v *verdict) groupsSoFar(s state) {
	v.run.groups.mu.Lock()
	all := slices.Clone(v.run.groups.all)
	v.run.groups.mu.Unlock()
	ends := s.groupEnds()
	for _, g := range all {
		got := ends[g.id]
		if len(got) > 1 {
			v.broken(ruleGroupEnd, g.id, "it has enqueued %v", got)
		}
		if !slices.Contains(got, groupSuccess) {
			continue
		}
		for _, m := range g.members {
			if row := s.rows[m.id]; row.status != "SUCCESSFUL" {
				v.broken(ruleGroupEnd, g.id, "it has succeeded, and %s is %q", m.id, row.status)
			}
		}
	}
}

// groups checks the groups at the end.
func (v *verdict) groups(ctx context.Context, s state) {
	db, members := v.run.site.db, make(map[uuid.UUID]map[uuid.UUID]queue.MemberState)
	var id, task uuid.UUID
	var state queue.MemberState
	err := each(ctx, db, `SELECT group_id, task_id, state FROM claimcheck_group_members`, func() {
		if members[id] == nil {
			members[id] = make(map[uuid.UUID]queue.MemberState)
		}
		members[id][task] = state
	}, &id, &task, &state)
	if err != nil {
		v.broken(ruleCounted, uuid.Nil, "%v", err)
		return
	}
	ends := s.groupEnds()
	for _, g := range v.run.groups.all {
		if !g.closed {
			v.broken(ruleEnded, g.id, "the group could not be closed")
			continue
		}
		if len(members[g.id]) != len(g.members) {
			v.broken(ruleCounted, g.id, "%d members of %d", len(members[g.id]), len(g.members))
		}
		want, last := groupSuccess, int64(0)
		for _, m := range g.members {
			row := s.rows[m.id]
			if got := members[g.id][m.id]; got != queue.MemberStateOf(queue.Status(row.status)) {
				v.broken(ruleCounted, g.id, "%s is %s, and counted as %d", m.id, row.status, got)
			}
			if row.status != "SUCCESSFUL" {
				want = groupFailure
			}
			last = max(last, row.finished)
		}
		if got := ends[g.id]; !slices.Equal(got, []string{want}) {
			v.broken(ruleGroupEnd, g.id, "it has enqueued %v, want %s", got, want)
		}
		if row := s.rows[queue.CompletionID(g.id, true)]; want == groupSuccess && row.enqueued+tolerance < last {
			v.broken(ruleGroupEnd, g.id, "its success was enqueued %d us before its last task ended", last-row.enqueued)
		}
	}
}
