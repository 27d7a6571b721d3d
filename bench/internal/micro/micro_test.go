package micro

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"github.com/googleapis/gax-go/v2"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// order is the argument of every task, as in the benchmark with databases.
type order struct {
	OrderID  int64  `json:"order_id"`
	Customer string `json:"customer"`
	Template string `json:"template"`
	Note     string `json:"note"`
}

var (
	sample = order{OrderID: 4711, Customer: "customer@example.com", Template: "receipt", Note: "thank you for your order, it is on its way"}
	args   = json.RawMessage(`{"order_id":4711,"customer":"customer@example.com","template":"receipt","note":"thank you for your order, it is on its way"}`)
	now    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

const (
	taskName = "send_receipt"
	token    = "a token that is long enough"
)

// instant is a store that does everything at once and keeps nothing.
type instant struct{ queue.Store }

func (instant) Insert(_ context.Context, rows ...*queue.NewRow) error {
	for _, row := range rows {
		row.Status, row.EnqueuedAt = queue.StatusReady, now
	}
	return nil
}

func (instant) Claim(_ context.Context, id uuid.UUID, req queue.ClaimRequest) (*queue.Row, error) {
	return &queue.Row{
		ID: id, Status: queue.StatusRunning, Task: taskName, Queue: "default", Backend: "default", Args: args,
		Attempts: 1, MaxAttempts: 10, EnqueuedAt: now, StartedAt: now, LastAttemptedAt: now,
		WorkerIDs: []string{req.Worker}, ClaimID: req.ClaimID, LeaseExpiresAt: time.Now().Add(req.Lease),
	}, nil
}

func (instant) Finish(context.Context, queue.Claim, queue.Finish) (time.Time, error) { return now, nil }

func newClient(b *testing.B, store queue.Store, dispatcher queue.Dispatcher) (*queue.Client, *queue.Executor) {
	b.Helper()
	receipts := queue.NewTask(taskName, func(context.Context, order) (any, error) { return nil, nil })
	client, err := queue.NewClient(queue.Config{
		Store: store, Registry: queue.NewRegistry(receipts), Dispatcher: dispatcher,
		Logger: slog.New(slog.NewTextHandler(b.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		b.Fatal(err)
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{Concurrency: 100})
	if err != nil {
		b.Fatal(err)
	}
	return client, executor
}

func BenchmarkEnqueue(b *testing.B) {
	client, _ := newClient(b, instant{}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Enqueue(b.Context(), taskName, sample); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEnqueueDispatched creates the Cloud Task too.
func BenchmarkEnqueueDispatched(b *testing.B) {
	client, _ := newClient(b, instant{}, newDispatcher(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Enqueue(b.Context(), taskName, sample); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEnqueueMany1000 is the cost of a thousand.
func BenchmarkEnqueueMany1000(b *testing.B) {
	client, _ := newClient(b, instant{}, nil)
	requests := make([]queue.Request, 1000)
	for i := range requests {
		requests[i] = queue.Request{Task: taskName, Args: sample}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.EnqueueMany(b.Context(), requests...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRun is claim, run and finish.
func BenchmarkRun(b *testing.B) {
	_, executor := newClient(b, instant{}, nil)
	id := uuid.New()
	b.ReportAllocs()
	for b.Loop() {
		if run, err := executor.RunByID(b.Context(), id, queue.RunOptions{}); err != nil || run.Outcome != queue.OutcomeSucceeded {
			b.Fatal(run, err)
		}
	}
}

// BenchmarkExecute is the same as a delivery: authentication, routing, the run,
// and the answer.
func BenchmarkExecute(b *testing.B) {
	client, executor := newClient(b, instant{}, nil)
	handler, err := httpapi.New(httpapi.Config{Client: client, Executor: executor, Auth: httpapi.BearerToken(token), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	execute(b, handler, token)
}

// execute delivers again and again.
func execute(b *testing.B, handler http.Handler, token string) {
	path := "/tasks/execute/" + uuid.NewString() + "/?fail_on_error=true"
	b.ReportAllocs()
	for b.Loop() {
		request := httptest.NewRequest(http.MethodPost, path, nil)
		request.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != http.StatusOK {
			b.Fatal(answer.Code, answer.Body)
		}
	}
}

// BenchmarkExecuteVerified is a delivery with a token that Google has signed: the
// same one for all, as Cloud Tasks sends it for most of an hour.
func BenchmarkExecuteVerified(b *testing.B) {
	const account, audience = "tasks@bench.iam.gserviceaccount.com", "https://bench.example.com"
	issuer, err := cloudtaskstest.New(cloudtaskstest.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer issuer.Close()
	signed, err := issuer.Token(account, audience)
	if err != nil {
		b.Fatal(err)
	}
	certs := httptest.NewServer(issuer.Certs())
	defer certs.Close()
	verifier, err := oidc.New(oidc.Config{
		Audiences: []string{audience}, Emails: []string{account}, Issuer: "https://accounts.google.com", CertsURL: certs.URL,
	})
	if err != nil {
		b.Fatal(err)
	}
	client, executor := newClient(b, instant{}, nil)
	handler, err := httpapi.New(httpapi.Config{Client: client, Executor: executor, Auth: verifier, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	execute(b, handler, signed)
}

// creator is a client of Cloud Tasks that does nothing.
type creator struct{}

func (creator) CreateTask(_ context.Context, r *cloudtaskspb.CreateTaskRequest, _ ...gax.CallOption) (*cloudtaskspb.Task, error) {
	return r.GetTask(), nil
}

func newDispatcher(b *testing.B) *cloudtasks.Dispatcher {
	b.Helper()
	dispatcher, err := cloudtasks.New(creator{}, cloudtasks.Config{
		Project: "bench", Location: "europe-west1", HandlerURL: "https://bench.example.com/tasks/execute/{task_id}/",
		ServiceAccountEmail: "tasks@bench.iam.gserviceaccount.com",
	})
	if err != nil {
		b.Fatal(err)
	}
	return dispatcher
}

// BenchmarkDispatch is what creating a Cloud Task costs beside the client's call.
func BenchmarkDispatch(b *testing.B) {
	dispatcher := newDispatcher(b)
	ticket := queue.Ticket{ID: uuid.New(), Queue: "default", Timeout: time.Minute}
	b.ReportAllocs()
	for b.Loop() {
		if err := dispatcher.Dispatch(b.Context(), ticket); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckJSON(b *testing.B) {
	for name, text := range map[string]string{
		"order": string(args),
		"100kB": `{"lines":[` + strings.Repeat(string(args)+",", 800) + `1.5]}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := queue.CheckJSON("args", []byte(text)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkResultJSON is a task result as every answer contains one.
func BenchmarkResultJSON(b *testing.B) {
	row, err := instant{}.Claim(b.Context(), uuid.New(), queue.ClaimRequest{Worker: "host-123-abc"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(row); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSQLite is a task's whole way on an SQLite in memory, which costs
// statements but no disk.
func BenchmarkSQLite(b *testing.B) {
	store, err := sqlitestore.Open(b.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	client, executor := newClient(b, store, nil)
	b.ReportAllocs()
	for b.Loop() {
		handle, err := client.Enqueue(b.Context(), taskName, sample)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := executor.RunByID(b.Context(), handle.ID, queue.RunOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
