package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/mutate"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// procTicked is a schedule in cloudtasks mode, with two servers on one database.
type procTicked struct {
	*procCloud
	t        *testing.T
	database string
	servers  []*procServer
}

// procScheduled makes the schedule "report" of demo.echo. Nothing but the test ticks.
func procScheduled(t *testing.T, binary string) *procTicked {
	t.Helper()
	c := &procTicked{procCloud: procNewCloud(t), t: t, database: testdb.Postgres(t)}
	env := c.env("DATABASE_URL="+c.database, binaryVariable+binary)
	dir := t.TempDir()
	c.servers = append(c.servers, c.serve(dir, env), procServe(t, dir, env))
	made := c.servers[0].do(http.MethodPut, "/tasks/schedules/report/", `{"task":"demo.echo","spec":"@every 1h","expires_in":"30m"}`)
	if made.status != http.StatusCreated {
		t.Fatalf("%d %s", made.status, made.text)
	}
	return c
}

// due moves the next time of the schedule: no test waits for an hour.
func (c *procTicked) due(in time.Duration) {
	c.t.Helper()
	testdb.Exec(c.t, c.database, fmt.Sprintf(`UPDATE claimcheck_schedules SET next_at = date_trunc('second', now()) + interval '%d seconds'`, int(in.Seconds())))
}

// tick ticks at both servers at once, as Cloud Scheduler would, and returns how many
// occurrences they have reported together.
func (c *procTicked) tick(query string) (enqueued int) {
	c.t.Helper()
	header := c.bearer(procAccount)
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			reply := c.servers[i%2].do(http.MethodPost, "/tasks/tick/"+query, "", header...)
			var answer struct{ Enqueued *int }
			if err := json.Unmarshal([]byte(reply.text), &answer); err != nil || reply.status != http.StatusOK || answer.Enqueued == nil {
				c.t.Errorf("tick: %d %s", reply.status, reply.text)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			enqueued += *answer.Enqueued
		})
	}
	group.Wait()
	return enqueued
}

// last is the task of the latest occurrence.
func (c *procTicked) last() uuid.UUID {
	c.t.Helper()
	var answer struct {
		Schedule struct {
			ID uuid.UUID `json:"last_task_id"`
		}
	}
	reply := c.servers[1].do(http.MethodGet, "/tasks/schedules/report/", "")
	if err := json.Unmarshal([]byte(reply.text), &answer); err != nil || reply.status != http.StatusOK {
		c.t.Fatalf("%d %s: %v", reply.status, reply.text, err)
	}
	return answer.Schedule.ID
}

// wantRun waits until the task of an occurrence has run, and checks that it was told which
// one, and delivered once.
func (c *procTicked) wantRun(id uuid.UUID) *queue.Row {
	c.t.Helper()
	row := c.servers[1].wantEnd(id, queue.StatusSuccessful, 1)
	want, _ := json.Marshal([]any{"report", row.ScheduledFor})
	if row.Schedule != "report" || row.ScheduledFor.IsZero() || string(row.ReturnValue) != string(want) {
		c.t.Errorf("%s of %q at %s returned %s, want %s", id, row.Schedule, row.ScheduledFor, row.ReturnValue, want)
	}
	if expires := row.ExpiresAt.Sub(row.ScheduledFor); expires != 30*time.Minute {
		c.t.Errorf("it expires %s after its time", expires)
	}
	c.wantAnswers(id, http.StatusOK)
	return row
}

// echoOccurrence makes demo.echo return for which occurrence it runs.
var echoOccurrence = mutate.Edit{
	File: "cmd/server/tasks.go",
	Old:  `func echo(_ context.Context, args json.RawMessage) (json.RawMessage, error) { return args, nil }`,
	New: `func echo(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
	info, _ := queue.InfoFrom(ctx)
	return json.Marshal([]any{info.Schedule, info.ScheduledFor})
}`,
}

func TestPushSchedules(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "server")
	mutate.Build(t, "./cmd/server", binary, []mutate.Edit{echoOccurrence})
	t.Run("each occurrence once", func(t *testing.T) { t.Parallel(); pushOnce(t, procScheduled(t, binary)) })
	t.Run("ahead", func(t *testing.T) { t.Parallel(); pushAhead(t, procScheduled(t, binary)) })
}

// pushOnce ticks a schedule at two servers at once.
func pushOnce(t *testing.T, c *procTicked) {
	t.Helper()
	if reply := c.servers[0].do(http.MethodPost, "/tasks/tick/", "", "Authorization", "Bearer x"); reply.status != http.StatusUnauthorized {
		t.Errorf("a tick without a credential: %d %s", reply.status, reply.text)
	}
	if n := c.tick(""); n != 0 {
		t.Errorf("%d enqueued before the time", n)
	}
	c.due(-5 * time.Second)
	if n := c.tick(""); n != 1 {
		t.Errorf("%d enqueued, want 1", n)
	}
	c.wantRun(c.last())
	if n, created := c.tick(""), c.Stats().Created; n != 0 || created != 1 {
		t.Errorf("%d enqueued by a later tick; %d Cloud Tasks in all", n, created)
	}
}

// pushAhead checks that an occurrence which a tick enqueues ahead is delivered at its time,
// unless the schedule is paused before.
func pushAhead(t *testing.T, c *procTicked) {
	t.Helper()
	c.due(4 * time.Second)
	if n := c.tick(""); n != 0 {
		t.Errorf("%d enqueued before the time, without ahead", n)
	}
	if n := c.tick("?ahead=60s"); n != 1 {
		t.Errorf("%d enqueued ahead, want 1", n)
	}
	tasks := c.Tasks()
	if len(tasks) != 1 {
		t.Fatalf("%d Cloud Tasks", len(tasks))
	}
	at := tasks[0].GetScheduleTime().AsTime()
	if n := c.tick("?ahead=60s"); n != 0 {
		t.Errorf("%d enqueued again", n)
	}
	row := c.wantRun(c.last())
	if !row.RunAfter.Equal(row.ScheduledFor) || at.Before(row.ScheduledFor) || row.StartedAt.Before(row.ScheduledFor) {
		t.Errorf("run_after %s, Cloud Task at %s, started at %s; want all from %s on", row.RunAfter, at, row.StartedAt, row.ScheduledFor)
	}

	c.due(50 * time.Second)
	if n := c.tick("?ahead=60s"); n != 1 {
		t.Errorf("%d enqueued ahead, want 1", n)
	}
	ahead := c.last()
	if reply := c.servers[0].do(http.MethodPost, "/tasks/schedules/report/pause/", ""); reply.status != http.StatusOK {
		t.Fatalf("%d %s", reply.status, reply.text)
	}
	if row := c.servers[1].task(ahead); row.Status != queue.StatusCancelled {
		t.Errorf("after a pause it is %s", row.Status)
	}
	if reply := procExecute(c.servers[1], ahead, c.bearer(procAccount)); reply.status != http.StatusOK {
		t.Errorf("its ticket, which comes later: %d %s", reply.status, reply.text)
	}
}
