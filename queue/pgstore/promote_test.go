package pgstore_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// Rows that a crash of many workers left behind may be a megabyte each.
func TestPromoteReadsNoArgumentsOfTheRowsItFails(t *testing.T) {
	url := testdb.Postgres(t)
	migrated(t, pgstore.Config{URL: url})
	testdb.Exec(t, url, `
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, args, errors, dispatch_due_at, enqueued_at, attempts, max_attempts, claim_id, lease_expires_at)
SELECT gen_random_uuid(), 't', 'q', 'b', 0, 'RUNNING', to_json(repeat('x', 100000)), '[{"message": "before"}]', now(), now(), 2, 2, gen_random_uuid(), now()
FROM generate_series(1, 50)`)
	var read atomic.Int64
	s := open(t, pgstore.Config{URL: url, DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &counted{conn, &read}, err
	}})
	for _, c := range []struct{ limit, failed int }{{45, 45}, {45, 5}, {45, 0}} { // more than fit into one look
		if p, err := s.Promote(t.Context(), c.limit); err != nil || p.Failed != c.failed {
			t.Errorf("up to %d: %+v, %v", c.limit, p, err)
		}
	}
	if n := read.Load(); n > 500_000 {
		t.Errorf("%d bytes were read", n)
	}
	page, err := s.List(t.Context(), queue.ListRequest{Selection: queue.Selection{View: queue.ViewFailed}, Limit: 1})
	if err != nil || len(page.Rows) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	row, err := s.Get(t.Context(), page.Rows[0].ID)
	if err != nil || len(row.Args) != 100002 || len(row.Errors) != 2 || row.Errors[0].Message != "before" || row.Errors[1].ExceptionClassPath != "WorkerLost" {
		t.Errorf("%+v, %v", row, err)
	}
}

// counted counts what is read.
type counted struct {
	net.Conn
	read *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}
