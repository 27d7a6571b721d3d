package server

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// scheduleTime is how long TestASchedulesOccurrencesSurviveKills runs; SCHEDULE_SOAK sets
// another time, such as 10m (make soak-schedules).
const scheduleTime = 8 * time.Second

// Two servers and two workers on one database, of which one after the other is killed,
// enqueue each second of a schedule once.
func TestASchedulesOccurrencesSurviveKills(t *testing.T) {
	t.Parallel()
	long := scheduleTime
	if text := os.Getenv("SCHEDULE_SOAK"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	databaseURL := testdb.Postgres(t)
	dir := t.TempDir()
	env := []string{"DATABASE_URL=" + databaseURL, "LOG_LEVEL=error", "TASKS_LEASE=1s", "TASKS_SWEEP_INTERVAL=1s"}
	procRun(t, dir, env, "", "migrate")
	if r := procRun(t, dir, env, "", "schedules", "add", "every-second", "--task", "demo.echo", "--spec", "@every 1s", "--catch-up", "all", "--args", "1"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	start := func(i int) *exec.Cmd {
		args, mode := []string{"serve", "--listen=127.0.0.1:0"}, "TASKS_MODE=local"
		if i >= 2 {
			args, mode = []string{"work", "--continuous", "--interval=0.2"}, "TASKS_MODE=pull"
		}
		command := procCommand(t, long+procPatience, dir, append(env, mode), args...)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		return command
	}
	processes := make([]*exec.Cmd, 4)
	for i := range processes {
		processes[i] = start(i)
	}
	kill := func(i int) {
		_ = processes[i].Process.Kill()
		_ = processes[i].Wait()
	}
	kills := 0
	ended, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	for ended.Err() == nil {
		select {
		case <-ended.Done():
		case <-time.After(500*time.Millisecond + rand.N(time.Second)):
			i := rand.N(len(processes))
			kill(i)
			processes[i] = start(i)
			kills++
		}
	}
	for i := range processes {
		kill(i)
	}
	checkEverySecond(t, databaseURL, long)
	t.Logf("%d kills in %s", kills, long)
}

// checkEverySecond ends what is left, and checks that each second has one occurrence, and
// each occurrence one task, which has succeeded.
func checkEverySecond(t *testing.T, databaseURL string, long time.Duration) {
	t.Helper()
	store, err := pgstore.Open(t.Context(), pgstore.Config{URL: databaseURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	dir, env := t.TempDir(), []string{"DATABASE_URL=" + databaseURL, "TASKS_MODE=pull", "TASKS_LEASE=1s"}
	// The last processes may have been killed before they ticked.
	if r := procRun(t, dir, env, "", "work"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	procRun(t, dir, env, "", "schedules", "pause", "every-second")
	testdb.Exec(t, databaseURL, "UPDATE claimcheck_tasks SET lease_expires_at = now() - interval '1 second' WHERE status = 'RUNNING'") // of killed processes
	if r := procRun(t, dir, env, "", "work", "--concurrency=4"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	seconds := map[int64]int{}
	var rows []*queue.Row
	for after, more := "", true; more; more = after != "" {
		page, err := store.List(t.Context(), queue.ListRequest{Selection: queue.Selection{View: queue.ViewAll}, After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		rows, after = append(rows, page.Rows...), page.Next
	}
	first, last := time.Time{}, time.Time{}
	for _, row := range rows {
		if row.Schedule != "every-second" || row.Status != queue.StatusSuccessful {
			t.Errorf("%s is %s", row.ID, row.Status)
		}
		seconds[row.ScheduledFor.Unix()]++
		if first.IsZero() || row.ScheduledFor.Before(first) {
			first = row.ScheduledFor
		}
		if row.ScheduledFor.After(last) {
			last = row.ScheduledFor
		}
	}
	for at := first; !at.After(last); at = at.Add(time.Second) {
		if n := seconds[at.Unix()]; n != 1 {
			t.Errorf("%s was enqueued %d times", at.Format(time.RFC3339), n)
		}
	}
	if covered := last.Sub(first); covered < long-5*time.Second {
		t.Errorf("only %s of %s have occurrences", covered, long)
	}
	t.Logf("%d occurrences", len(rows))
}
