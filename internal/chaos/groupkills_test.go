package chaos

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/chaos/ledger"
	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/queue"
)

var (
	groupsFlag  = flag.Int("chaos.groups", 2, "how many groups TestAGroupSucceedsOnceUnderKills completes, one after the other, on each database")
	membersFlag = flag.Int("chaos.members", 400, "how many tasks each of them has")
)

// Workers are killed again and again while they run the tasks of a group: it succeeds once,
// after all of them have succeeded.
func TestAGroupSucceedsOnceUnderKills(t *testing.T) {
	for name, site := range map[string]struct {
		open    func(*testing.T) *site
		workers int
	}{
		"SQLite":     {newSQLite, 1},
		"PostgreSQL": {func(t *testing.T) *site { return newPostgres(t, options{}) }, 3},
		"MariaDB":    {func(t *testing.T) *site { return newMariaDB(t, options{}) }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := site.open(t)
			database, err := ledger.Open(t.Context(), s.url)
			if err != nil {
				t.Fatal(err)
			}
			defer database.Close()
			client, err := queue.NewClient(queue.Config{Store: database.Store, Registry: tasks.Declared(), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			front := newFront(site.workers)
			t.Cleanup(front.close)
			killing, stop := context.WithCancel(t.Context())
			var killers sync.WaitGroup
			var kills atomic.Int64
			for i := range site.workers {
				w := &worker{name: fmt.Sprintf("w%d", i), program: workerProgram(t), number: i, front: front, args: []string{"-database", s.url, "-lease", "1s", "-token", token}}
				t.Cleanup(func() { w.end(syscall.SIGKILL) })
				killers.Go(func() { w.dieAgainAndAgain(killing, t, &kills) })
			}
			began := time.Now()
			for range *groupsFlag {
				succeedsOnce(t, s, client, *membersFlag)
			}
			t.Logf("%d groups of %d tasks, %d kills, %s", *groupsFlag, *membersFlag, kills.Load(), time.Since(began).Round(time.Second))
			stop()
			killers.Wait()
		})
	}
}

// dieAgainAndAgain starts the process, and kills it after a few hundred milliseconds, until
// ctx ends.
func (w *worker) dieAgainAndAgain(ctx context.Context, t *testing.T, kills *atomic.Int64) {
	for ctx.Err() == nil {
		if err := w.start(); err != nil {
			t.Error(err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(100*time.Millisecond + rand.N(500*time.Millisecond)):
		}
		w.end(syscall.SIGKILL)
		kills.Add(1)
	}
}

// succeedsOnce makes a group, waits until the task at its end has succeeded, and compares
// the group with its tasks.
func succeedsOnce(t *testing.T, s *site, client *queue.Client, members int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(members)*10*time.Millisecond)
	defer cancel()
	end := tasks.Plain.Request(tasks.Args{})
	spec := queue.GroupSpec{OnSuccess: &end, OnFailure: &end}
	group, err := tasks.Plain.EnqueueGroup(ctx, client, spec, func(yield func(tasks.Args) bool) {
		for i := range members {
			if !yield(tasks.Args{Millis: i % 20}) {
				return
			}
		}
	}, queue.MaxAttempts(queue.MaxAttemptsLimit)) // each kill costs an attempt
	if err != nil {
		t.Fatal(err)
	}
	success := queue.CompletionID(group.ID, true)
	for row := (*queue.Row)(nil); row == nil || !row.Status.Final(); {
		if row, _ = client.Get(ctx, success); ctx.Err() != nil { // it is not there at first
			now, err := client.Group(context.WithoutCancel(ctx), group.ID)
			t.Fatalf("the group has not succeeded: %+v, %v", now, err)
		}
		time.Sleep(50 * time.Millisecond) // poll, until the deadline
	}
	now, err := client.Group(ctx, group.ID)
	if err != nil || now.State() != queue.GroupSucceeded || now.Successful != members || now.Total != members || !now.FailedAt.IsZero() {
		t.Errorf("the group: %+v, %v", now, err)
	}
	// Rows of earlier groups are there too.
	var member, completes uuid.NullUUID
	var enqueuedAt, finishedAt, succeededAt, last int64
	ends, ended := 0, 0
	err = each(ctx, s.db, `SELECT group_id, completes_group, `+s.micros("enqueued_at")+`, `+s.micros("finished_at")+` FROM claimcheck_tasks`, func() {
		switch group.ID {
		case completes.UUID:
			ends++
			succeededAt = enqueuedAt
		case member.UUID:
			ended++
			last = max(last, finishedAt)
		}
	}, &member, &completes, &enqueuedAt, &finishedAt)
	if err != nil || ends != 1 || ended != members || succeededAt+tolerance < last {
		t.Errorf("%d tasks at the end of the group, %d members; the end was enqueued at %d, the last member ended at %d; %v", ends, ended, succeededAt, last, err)
	}
}
