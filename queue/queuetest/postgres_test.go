package queuetest_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
)

func TestWithPostgreSQLAndTheCallersTransaction(t *testing.T) {
	url := testdb.Postgres(t)
	store, err := pgstore.Open(t.Context(), pgstore.Config{URL: url, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	client := queuetest.NewClient(t, queue.Config{Store: store, Registry: queue.NewRegistry(sendMail, report)})
	ann := mail{To: "ann"}

	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sendMail.EnqueueTx(t.Context(), client, pgstore.Tx(tx), ann); err != nil {
		t.Fatal(err)
	}
	if got := queuetest.RequireEnqueuedTx(t, client, pgstore.Tx(tx), sendMail, queuetest.Args(ann)); got.Args.To != "ann" {
		t.Errorf("%+v", got)
	}
	queuetest.RequireNoneTx(t, client, pgstore.Tx(tx), report)
	queuetest.RequireNone(t, client, sendMail)
	says(t, func(t testing.TB) {
		queuetest.RequireEnqueuedTx(t, client, pgstore.Tx(tx), sendMail, queuetest.Args(mail{To: "bob"}))
	}, "found 0", `args.to is "ann", want "bob"`)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}

	enqueue(t, client, sendMail, ann)
	enqueue(t, client, report, 1, queue.Delay(time.Hour))
	if run := queuetest.RunOne(t, client); string(run.Row.ReturnValue) != `"sent to ann"` {
		t.Errorf("%+v", run.Row)
	}
	if runs := queuetest.Drain(t, client); len(runs) != 0 {
		t.Errorf("%d runs", len(runs))
	}
	queuetest.RequireEnqueued(t, client, sendMail, queuetest.Status(queue.StatusSuccessful))
	says(t, func(t testing.TB) { queuetest.DrainFor(t, client, time.Hour) }, "DrainFor moves the Clock of a queuetest.Store, and the client has a *pgstore.Store")
}
