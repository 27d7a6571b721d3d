package chaos

import (
	"context"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/ledger"
	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/queue"
)

// A task kills its process repeatedly, among brief tasks that are prefetched and long
// ones that fill slots. Other tasks lose an attempt if they were running, and at most
// one if they were prefetched: all succeed.
func TestABombHurtsOnlyItself(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *site{
		"SQLite":     newSQLite,
		"PostgreSQL": func(t *testing.T) *site { return newPostgres(t, options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			const bombs = 3
			enqueueBombs(t, s, bombs)
			w := &worker{
				name: "w", program: workerProgram(t), front: newFront(1),
				args: []string{"-database", s.url, "-lease", "1s", "-token", token},
			}
			t.Cleanup(func() { w.end(syscall.SIGKILL); w.front.close() })
			deaths := w.runUntilAllEnded(t, s)
			if deaths < 2 { // two bombs may die together
				t.Errorf("the process died %d times; %d bombs have two attempts each", deaths, bombs)
			}
			ends := make(map[string]int)
			var task, status string
			if err := each(t.Context(), s.db, `SELECT task_path, status FROM claimcheck_tasks`, func() { ends[task+" "+status]++ }, &task, &status); err != nil {
				t.Fatal(err)
			}
			for what := range ends {
				if what != tasks.Bomb.Name()+" FAILED" && what != tasks.Plain.Name()+" SUCCESSFUL" && what != tasks.Long.Name()+" SUCCESSFUL" {
					t.Errorf("ends %v", ends)
				}
			}
			entries, err := readAudit(t.Context(), s.db)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range validate(entries) {
				t.Errorf("broken: %+v", v)
			}
		})
	}
}

// enqueueBombs enqueues bombs among brief and long tasks.
func enqueueBombs(t *testing.T, s *site, bombs int) {
	t.Helper()
	database, err := ledger.Open(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	client, err := queue.NewClient(queue.Config{Store: database.Store, Registry: tasks.Declared(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var requests []queue.Request
	add := func(n int, name string, millis int) {
		for range n {
			requests = append(requests, queue.Request{Task: name, Args: tasks.Args{Millis: millis}})
		}
	}
	for range bombs {
		add(300, tasks.Plain.Name(), 0) // from which the process learns that tasks are brief
		add(4, tasks.Long.Name(), 300)
		add(1, tasks.Bomb.Name(), 0)
		add(100, tasks.Plain.Name(), 0)
	}
	if _, err := client.EnqueueMany(t.Context(), requests...); err != nil {
		t.Fatal(err)
	}
}

// runUntilAllEnded starts the process again each time that it dies, until all tasks
// have ended, and returns how often it died.
func (w *worker) runUntilAllEnded(t *testing.T, s *site) (deaths int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		up := true
		if err := w.start(); err != nil { // it died before it printed its address
			deaths++
			up = false
		}
		for up {
			select {
			case <-ctx.Done():
				up = false
			case <-w.ended:
				deaths++
				up = false
			case <-tick.C:
				var live int
				if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM claimcheck_tasks WHERE status IN ('READY', 'RUNNING')`).Scan(&live); err == nil && live == 0 {
					return deaths
				}
			}
		}
	}
	t.Fatalf("not all tasks have ended; the process died %d times", deaths)
	return deaths
}
