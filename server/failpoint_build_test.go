package server

import "github.com/claimcheck-go/claimcheck/internal/mutate"

// failpoint is what the failpoints call: it kills its own process as kill -9
// would, at the chosen point and only once.
const failpoint = `
import (
	"os"
	"syscall"
)

// Failpoint is where the process may die.
func Failpoint(name string) {
	if os.Getenv("FAILPOINT") == name && os.Remove(os.Getenv("FAILPOINT_FILE")) == nil {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
`

// ledgerTask is a task of a user's who wants its effect exactly once: it writes
// to a table of its own in the transaction that completes the task.
const ledgerTask = `
func ledger(ctx context.Context, _ json.RawMessage) (any, error) {
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	info, _ := queue.InfoFrom(ctx)
	if _, err := tx.Exec(ctx, "INSERT INTO ledger VALUES ($1)", info.ID); err != nil {
		return nil, err
	}
	if err := queue.CompleteTx(ctx, pgstore.Tx(tx), nil); err != nil {
		return nil, err
	}
	queue.Failpoint("CompleteTx")
	if err := tx.Commit(ctx); err != nil {
		return nil, err
	}
	queue.Failpoint("commit")
	return nil, nil
}
`

// before and after insert a failpoint beside a line of the source.
func before(file, line, point string) mutate.Edit {
	return mutate.Edit{File: file, Old: line, New: point + "\n" + line}
}

func after(file, line, point string) mutate.Edit {
	return mutate.Edit{File: file, Old: line, New: line + "\n" + point}
}

// failpoints are all points at once; the environment chooses one.
var failpoints = []mutate.Edit{
	after("queue/doc.go", "\npackage queue", failpoint),

	// Enqueue.
	after("queue/pgstore/insert.go", "func (s *Store) Insert(ctx context.Context, rows ...*queue.NewRow) error {", `queue.Failpoint("insert")`),
	after("queue/enqueue.go", "func (c *Client) dispatchInserted(ctx context.Context, handles []*Handle) {", `Failpoint("inserted")`),
	before("queue/enqueue.go", "_ = c.dispatchBy(ctx, batched, rows, ticketOf)", `defer Failpoint("created")`),

	// A delivery.
	after("queue/claim.go", "func (e *Executor) claim(ctx context.Context, id uuid.UUID, opt RunOptions) (row *Row, sent time.Time, err error) {", `Failpoint("delivered")`),
	after("queue/run.go", "func (e *Executor) begin(t claimedTask) *activeRun {", `Failpoint("claimed")`),
	after("server/webhook/webhook.go", "defer func() { _ = response.Body.Close() }()", `queue.Failpoint("running")`),
	before("queue/run.go", "e.conclude(r, e.settle(", `Failpoint("returned")`),
	before("server/httpapi/execute.go", "h.write(w, r, h.busy(", `queue.Failpoint("finished")`),
	before("queue/settle.go", "run := &Run{Row: e.reread(ctx, row), Outcome: OutcomeFailed", `Failpoint("retried")`),
	before("queue/settle.go", "run.DispatchErr = e.arm(", `Failpoint("rescheduled")`),

	// The sweeper.
	before("queue/sweep.go", "refused, _ := s.client.send(", `Failpoint("swept")`),

	// Pausing and resuming queues.
	after("queue/pgstore/gate.go", "n, err = count(conn.Exec(ctx, parkQuery, name, limit))", `queue.Failpoint("parked")`),
	before("queue/gatework.go", "c.wakePullers(ctx)", `Failpoint("unparked")`),

	// CompleteTx.
	after("cmd/server/tasks.go", `queue.NewTask("demo.echo", echo),`, `queue.NewTask("ledger", ledger),`),
	before("cmd/server/tasks.go", `"github.com/claimcheck-go/claimcheck/queue"`, `"os"`+"\n"+`"github.com/jackc/pgx/v5"`),
	after("cmd/server/tasks.go", `"github.com/claimcheck-go/claimcheck/queue"`, `"github.com/claimcheck-go/claimcheck/queue/pgstore"`),
	before("cmd/server/tasks.go", "// panics does.", ledgerTask),
}
