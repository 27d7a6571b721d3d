package system

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/oidc"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// Whose tokens the handler accepts.
const (
	account  = "tasks@bench.iam.gserviceaccount.com"
	audience = "https://bench.example.com"
)

// Deliveries serves the routes that the server has, behind the verification of
// tokens. Key and token are made here, before anything is measured, and the
// verifier fetches the issuer's keys once, with the first of the warm-up's requests.
func (p *postgresProduct) Deliveries(ctx context.Context) (http.Handler, http.Header, []string, error) {
	auth, header := httpapi.Authenticator(everybody{}), http.Header{}
	if !p.unverified {
		var err error
		if auth, header, err = verified(); err != nil {
			return nil, nil, nil, err
		}
	}
	handler, err := httpapi.New(httpapi.Config{Client: p.client, Executor: p.executor, Auth: auth, Logger: quiet()})
	if err != nil {
		return nil, nil, nil, err
	}
	ids, err := list(ctx, p.URL, `SELECT id::text FROM claimcheck_tasks WHERE status = 'READY'`)
	return handler, header, ids, err
}

// everybody accepts all requests.
type everybody struct{}

// Authenticate returns no error.
func (everybody) Authenticate(*http.Request) error { return nil }

// verified returns the verification of tokens, and the header with one that it
// accepts. The issuer is in this process.
func verified() (httpapi.Authenticator, http.Header, error) {
	issuer, err := cloudtaskstest.New(cloudtaskstest.Config{})
	if err != nil {
		return nil, nil, err
	}
	token, err := issuer.Token(account, audience)
	if err != nil {
		return nil, nil, err
	}
	certs := httptest.NewServer(issuer.Certs())
	verifier, err := oidc.New(oidc.Config{
		Audiences: []string{audience}, Emails: []string{account},
		Issuer: "https://accounts.google.com", CertsURL: certs.URL, Logger: quiet(),
	})
	return verifier, http.Header{"Authorization": {"Bearer " + token}}, err
}

// list returns the one column of a query.
func list(ctx context.Context, url, sql string) ([]string, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Start makes a worker that waits: in local mode as a queue.Local in the process
// that enqueues, else as `server work --continuous` on a store of its own.
func (p *product) Start(ctx context.Context, mode StartMode, started func()) (Running, error) {
	receipts := queue.NewTask(taskName, func(context.Context, order) (any, error) {
		started()
		return nil, nil
	})
	ctx, cancel := context.WithCancel(ctx)
	r := &productRunning{client: p.client, cancel: cancel, ended: make(chan error, 1)}
	config := queue.Config{Store: p.store, Registry: queue.NewRegistry(receipts), Logger: quiet()}
	if mode == Local {
		local := queue.NewLocal()
		config.Dispatcher = local
		executor, client, err := newWorker(config)
		if err != nil {
			return nil, err
		}
		r.client = client
		go func() {
			local.Run(ctx, executor)
			r.ended <- executor.Shutdown(context.WithoutCancel(ctx), time.Second)
		}()
		return r, nil
	}
	store, err := p.open(ctx, p.URL)
	if err != nil {
		return nil, err
	}
	config.Store = store
	executor, _, err := newWorker(config)
	if err != nil {
		return nil, err
	}
	go func() {
		_, err := executor.Work(ctx, queue.WorkConfig{Continuous: true})
		r.ended <- errors.Join(err, store.Close())
	}()
	return r, nil
}

func newWorker(config queue.Config) (*queue.Executor, *queue.Client, error) {
	client, err := queue.NewClient(config)
	if err != nil {
		return nil, nil, err
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{})
	return executor, client, err
}

type productRunning struct {
	client *queue.Client
	cancel context.CancelFunc
	ended  chan error
}

// Enqueue stores one task.
func (r *productRunning) Enqueue(ctx context.Context) error {
	_, err := r.client.Enqueue(ctx, taskName, sample)
	return err
}

// Stop ends the worker.
func (r *productRunning) Stop(context.Context) error {
	r.cancel()
	return <-r.ended
}
