package admin_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/claimcheck-go/claimcheck/server/admin/internal/demodata"
)

// manyRows is a table with that many rows of the last day: one in ten FAILED,
// one in a hundred waiting, and some running.
const manyRows = `
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, hold, args, dispatch_due_at, enqueued_at, attempts, max_attempts,
	worker_ids, last_attempted_at, finished_at, lease_expires_at, claim_id, error_group, error_text)
SELECT gen_random_uuid(), CASE n %% 3 WHEN 0 THEN 'billing.charge_card' WHEN 1 THEN 'webhook.deliver' ELSE 'emails.send_welcome' END,
	CASE n %% 3 WHEN 0 THEN 'billing' WHEN 1 THEN 'webhooks' ELSE 'emails' END, 'default', 0, s.status, CASE s.status WHEN 'READY' THEN 0 END, '{}',
	now() - interval '1 minute', now() - n * interval '1 millisecond', 1, 8, ARRAY['worker/' || n %% 9], now(),
	CASE WHEN s.status IN ('SUCCESSFUL', 'FAILED') THEN now() - n * interval '86400 seconds' / %[1]d END,
	CASE s.status WHEN 'RUNNING' THEN now() - interval '1 minute' END, CASE s.status WHEN 'RUNNING' THEN gen_random_uuid() END,
	CASE s.status WHEN 'FAILED' THEN '*net.OpError: kind ' || n %% 5 END, CASE s.status WHEN 'FAILED' THEN '*net.OpError: i/o timeout after ' || n || ' ms' END
FROM generate_series(1, %[1]d) AS n,
	LATERAL (SELECT CASE WHEN n %% 10 = 0 THEN 'FAILED' WHEN n %% 100 = 1 THEN 'READY' WHEN n %% 1000 = 2 THEN 'RUNNING' ELSE 'SUCCESSFUL' END AS status) AS s`

// statementCount counts the statements that go over connections to PostgreSQL.
type statementCount struct{ n atomic.Int64 }

func (c *statementCount) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return &countedConn{Conn: conn, count: c}, err
}

// countedConn reads along what the client sends: after a first message without a
// kind, each is a kind, a length and that much less four. Q and E carry one
// statement out.
type countedConn struct {
	net.Conn
	count *statementCount
	begun bool
	kept  []byte
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.kept = append(c.kept, b...)
	for {
		head := 1
		if !c.begun {
			head = 0
		}
		if len(c.kept) < head+4 {
			break
		}
		size := head + int(binary.BigEndian.Uint32(c.kept[head:]))
		if len(c.kept) < size {
			break
		}
		// The first statement of a connection has its settings.
		if kind := c.kept[0]; c.begun && (kind == 'Q' && !bytes.HasPrefix(c.kept[head+4:], []byte("SET plan_cache_mode")) || kind == 'E') {
			c.count.n.Add(1)
		}
		c.begun, c.kept = true, c.kept[size:]
	}
	return c.Conn.Write(b)
}

var rowsFlag = flag.Int("admin.rows", 100_000, "rows of the table that the pages are measured on (make admin-million)")

// However many rows there are, a page is at most four statements, and short.
func TestPagesAreFewStatementsOnManyRows(t *testing.T) {
	url, count := testdb.Postgres(t), &statementCount{}
	store, err := pgstore.Open(t.Context(), pgstore.Config{URL: url, DialFunc: count.dial, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	testdb.Exec(t, url, fmt.Sprintf(manyRows, *rowsFlag))
	testdb.Exec(t, url, `VACUUM ANALYZE claimcheck_tasks`) // not within a transaction
	quiet := slog.New(slog.DiscardHandler)
	client, err := queue.NewClient(queue.Config{Store: store, Registry: demodata.Registry(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := admin.New(admin.Config{Client: client, Access: admin.Open("ops"), Logger: quiet, SweepEvery: time.Minute, CheckSchema: store.CheckSchema})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, handler: admin.WaitForStats(pages), client: client}
	failed := s.someRow(queue.Selection{View: queue.ViewFailed}).ID.String()
	for _, path := range []string{
		"/admin/", // with nothing known yet
		"/admin/", // more
		"/admin/", // the rest
		"/admin/tasks",
		"/admin/tasks?view=failed",
		"/admin/tasks?view=failed&task=billing.*&error=timeout&since=7d",
		"/admin/tasks?view=successful&task=no.such.task",
		"/admin/tasks?view=pending&stranded=1",
		"/admin/tasks?stranded=1",
		"/admin/tasks/" + failed,
		"/admin/queues",
		"/admin/queues/billing",
		"/admin/queues/billing",
		"/admin/types",
		"/admin/types/billing.charge_card",
		"/admin/types/billing.charge_card?from=" + failed,
		"/admin/workers",
		"/admin/audit",
		"/admin/confirm?all=retry&view=failed&task=billing.charge_card",
	} {
		count.n.Store(0)
		begin := time.Now()
		w := s.get(path, "Accept-Encoding", "gzip")
		took := time.Since(begin).Round(time.Millisecond)
		n := count.n.Load()
		t.Logf("%-65.65s %d statements, %5d bytes, %v", path, n, w.Body.Len(), took)
		if w.Code != http.StatusOK || n > 4 {
			t.Errorf("%s: status %d, %d statements", path, w.Code, n)
		}
		if w.Body.Len() > 20_000 {
			t.Errorf("%s: %d bytes", path, w.Body.Len())
		}
	}
}

// What is known is good for all tabs together.
func TestManyTabsAskOnce(t *testing.T) {
	s := newNight(t, func(c *admin.Config, _ *queue.Config) { c.SweepEvery = 30 * time.Second })
	for range 10 {
		s.get("/admin/")
		s.get("/admin/queues")
	}
	asked := map[string]int{}
	for _, name := range s.store.asked() {
		asked[name]++
	}
	for name, n := range asked {
		if n > 1 && !strings.HasPrefix(name, "List") { // three kinds of rows
			t.Errorf("%s was asked %d times", name, n)
		}
	}
	if len(asked) < 5 {
		t.Errorf("only %v was asked", asked)
	}
}
