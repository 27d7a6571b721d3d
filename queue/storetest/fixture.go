package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// fixture is one test's store, and short ways to use it.
type fixture struct {
	*testing.T
	ctx       context.Context
	store     queue.Store
	operator  queue.Operator // the store, if it is one; else nil
	begin     func(*testing.T, queue.Store) queue.Tx
	oneWriter bool
	second    func(*testing.T, queue.Store) queue.Store // may be nil

	setDeleteAt, setFinishedAt func(*testing.T, queue.Store, uuid.UUID, time.Time)
}

func newFixture(t *testing.T, h Harness, store queue.Store) *fixture {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	operator, _ := store.(queue.Operator)
	return &fixture{T: t, ctx: ctx, store: store, operator: operator, begin: h.Begin, oneWriter: h.OneWriter, second: h.Second, setDeleteAt: h.SetDeleteAt, setFinishedAt: h.SetFinishedAt}
}

// request is a new row, as changes make it.
func request(changes ...func(*queue.NewRow)) *queue.NewRow {
	r := &queue.NewRow{Row: &queue.Row{
		ID: uuid.Must(uuid.NewV7()), Task: taskName, Queue: "default", Backend: "default",
		Args: json.RawMessage(`{}`), MaxAttempts: 10,
	}, FreshID: true}
	for _, change := range changes {
		change(r)
	}
	return r
}

func (f *fixture) insert(changes ...func(*queue.NewRow)) *queue.Row {
	f.Helper()
	r := request(changes...)
	if err := f.store.Insert(f.ctx, r); err != nil {
		f.Fatalf("Insert: %v", err)
	}
	return r.Row
}

func maxAttempts(n int) func(*queue.NewRow)     { return func(r *queue.NewRow) { r.MaxAttempts = n } }
func priority(n int) func(*queue.NewRow)        { return func(r *queue.NewRow) { r.Priority = n } }
func delay(d time.Duration) func(*queue.NewRow) { return func(r *queue.NewRow) { r.Delay = d } }
func runAfter(at time.Time) func(*queue.NewRow) { return func(r *queue.NewRow) { r.RunAfter = at } }
func args(data string) func(*queue.NewRow) {
	return func(r *queue.NewRow) { r.Args = json.RawMessage(data) }
}
func armed(r *queue.NewRow)                       { r.WillDispatch = true }
func onQueue(name string) func(*queue.NewRow)     { return func(r *queue.NewRow) { r.Queue = name } }
func onBackend(name string) func(*queue.NewRow)   { return func(r *queue.NewRow) { r.Backend = name } }
func withTask(name string) func(*queue.NewRow)    { return func(r *queue.NewRow) { r.Task = name } }
func withID(id uuid.UUID) func(*queue.NewRow)     { return func(r *queue.NewRow) { r.ID = id } }
func timeout(d time.Duration) func(*queue.NewRow) { return func(r *queue.NewRow) { r.Timeout = d } }

// now is the database's time.
func (f *fixture) now() time.Time {
	f.Helper()
	return f.insert(withTask("what time is it"), delay(24*time.Hour), armed).EnqueuedAt
}

func (f *fixture) get(id uuid.UUID) *queue.Row {
	f.Helper()
	row, err := f.store.Get(f.ctx, id)
	if err != nil {
		f.Fatalf("Get: %v", err)
	}
	return row
}

// claimRequest is a fresh claim for a worker.
func claimRequest(lease time.Duration, changes ...func(*queue.ClaimRequest)) queue.ClaimRequest {
	req := queue.ClaimRequest{Tasks: []string{taskName}, Worker: "w", Lease: lease, ClaimID: queue.NewClaimID()}
	for _, change := range changes {
		change(&req)
	}
	return req
}

func (f *fixture) claim(id uuid.UUID, lease time.Duration, changes ...func(*queue.ClaimRequest)) *queue.Row {
	f.Helper()
	row, err := f.store.Claim(f.ctx, id, claimRequest(lease, changes...))
	if err != nil {
		f.Fatalf("Claim: %v", err)
	}
	return row
}

// claimed inserts a row and claims it.
func (f *fixture) claimed(lease time.Duration, changes ...func(*queue.NewRow)) *queue.Row {
	f.Helper()
	return f.claim(f.insert(changes...).ID, lease)
}

func (f *fixture) claimNext(limit int, changes ...func(*queue.ClaimNextRequest)) []*queue.Row {
	f.Helper()
	req := queue.ClaimNextRequest{Tasks: []string{taskName}, Limit: limit, Worker: "w", Lease: lease}
	for _, change := range changes {
		change(&req)
	}
	rows, err := f.store.ClaimNext(f.ctx, req)
	if err != nil {
		f.Fatalf("ClaimNext: %v", err)
	}
	return rows
}

func (f *fixture) finish(claim queue.Claim) time.Time {
	f.Helper()
	at, err := f.store.Finish(f.ctx, claim, queue.Finish{Status: queue.StatusSuccessful})
	if err != nil {
		f.Fatalf("Finish: %v", err)
	}
	return at
}

func (f *fixture) fail(claim queue.Claim) {
	f.Helper()
	_, err := f.store.Finish(f.ctx, claim, queue.Finish{Status: queue.StatusFailed, Errors: failures(1)})
	f.must(err)
}

func (f *fixture) promote() queue.PromoteResult {
	f.Helper()
	p, err := f.store.Promote(f.ctx, 100)
	f.must(err)
	return p
}

func failures(n int) []queue.AttemptError {
	var list []queue.AttemptError
	for i := range n {
		list = append(list, queue.AttemptError{
			ExceptionClassPath: "*errors.errorString", Message: fmt.Sprintf("no \"%d\" <&>\n\u2028\\", i),
			Traceback: "a\tb", Attempt: i + 1, At: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		})
	}
	return list
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// equal compares rows or parts of them; what is empty is equal to what is nil.
func (f *fixture) equal(what string, got, want any) {
	f.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
