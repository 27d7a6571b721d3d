package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Invalid is a value that a statement from outside has stored in one row.
type Invalid struct {
	Set    string // of an UPDATE
	Column string // that is invalid afterwards
	Kept   string // of the old value, in the row's errors
}

// RunInvalid tests that a row with an invalid column fails alone and by name, in a
// continuous worker and where a lease has expired. exec executes a statement. The
// store is a queue.Operator.
func RunInvalid(t *testing.T, store queue.Store, exec func(t *testing.T, statement string), cases ...Invalid) {
	for _, c := range cases {
		t.Run(c.Set, func(t *testing.T) {
			t.Run("in a worker", func(t *testing.T) { invalidInWorker(t, store, exec, c) })
			t.Run("with an expired lease", func(t *testing.T) { invalidLost(t, store, exec, c) })
		})
	}
}

func invalidInWorker(t *testing.T, store queue.Store, exec func(*testing.T, string), c Invalid) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var called sync.Map
	task := queue.NewTask("invalid.test", func(ctx context.Context, in int) (int, error) {
		info, _ := queue.InfoFrom(ctx)
		called.Store(info.ID, true)
		return in, nil
	})
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(task), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{Concurrency: 8})
	if err != nil {
		t.Fatal(err)
	}
	var ids []uuid.UUID
	for i := range 6 {
		handle, err := task.Enqueue(ctx, client, i)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, handle.ID)
	}
	broken := ids[2]
	exec(t, fmt.Sprintf(`UPDATE claimcheck_tasks SET %s WHERE id = '%s'`, c.Set, broken))

	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := executor.Work(working, queue.WorkConfig{Continuous: true, Interval: 20 * time.Millisecond})
		ended <- err
	}()
	for _, id := range ids {
		row, err := client.Wait(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if id == broken {
			checkInvalid(t, row, c)
		} else if row.Status != queue.StatusSuccessful || row.Attempts != 1 {
			t.Errorf("a neighbour is %s after %d attempts: %v", row.Status, row.Attempts, row.Errors)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the worker ended: %v", err)
	}
	if _, ok := called.Load(broken); ok {
		t.Error("the function of the invalid row was called")
	}
	page, err := store.(queue.Operator).List(ctx, queue.ListRequest{Selection: queue.Selection{IDs: []uuid.UUID{broken}}, Limit: 1})
	if err != nil || len(page.Rows) != 1 || !strings.Contains(page.Rows[0].ErrorText, c.Column) {
		t.Errorf("listed as %+v, %v", page.Rows, err)
	}
}

// checkInvalid checks a row that was run with an invalid column.
func checkInvalid(t *testing.T, row *queue.Row, c Invalid) {
	t.Helper()
	if row.Status != queue.StatusFailed || row.Attempts != 1 {
		t.Errorf("the invalid row is %s after %d attempts", row.Status, row.Attempts)
	}
	text, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	var kept bool
	for _, e := range row.Errors {
		kept = kept || strings.Contains(e.Traceback, c.Kept)
	}
	last := row.Errors[len(row.Errors)-1]
	if !strings.Contains(last.Message, "column "+c.Column+" of task "+row.ID.String()) || last.ExceptionClassPath != "*queue.InvalidColumnError" || !kept {
		t.Errorf("%s", text)
	}
}

// invalidLost lets the lease of such a row expire with no attempt left, in every way
// in which that is found.
func invalidLost(t *testing.T, store queue.Store, exec func(*testing.T, string), c Invalid) {
	f := newFixture(t, Harness{}, store)
	for name, find := range map[string]func(id uuid.UUID){
		"promote": func(uuid.UUID) { f.equal("failed", f.promote().Failed, 1) },
		"claim": func(id uuid.UUID) {
			req := queue.ClaimRequest{Tasks: []string{taskName}, Worker: "w", Lease: lease, ClaimID: queue.NewClaimID()}
			if _, err := store.Claim(f.ctx, id, req); !errors.Is(err, queue.ErrWorkerLost) {
				f.Errorf("Claim: %v", err)
			}
		},
		"requeue": func(uuid.UUID) {
			done, err := f.operator.Requeue(f.ctx, queue.RequeueRequest{Limit: 10})
			f.must(err)
			f.equal("requeued", done, queue.RequeueResult{Failed: 1})
		},
	} {
		row := f.claimed(expired, maxAttempts(1))
		exec(t, fmt.Sprintf(`UPDATE claimcheck_tasks SET %s WHERE id = '%s'`, c.Set, row.ID))
		find(row.ID)
		if got := f.get(row.ID); got.Status != queue.StatusFailed || !slices.ContainsFunc(got.Errors, isWorkerLost) {
			f.Errorf("%s: %+v", name, got)
		}
	}
}

func isWorkerLost(e queue.AttemptError) bool { return e.ExceptionClassPath == "WorkerLost" }
