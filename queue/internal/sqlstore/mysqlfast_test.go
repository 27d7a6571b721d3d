package sqlstore_test

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// breaker is a connection to MySQL that breaks when the server has done a
// statement, and before the answer is read.
type breaker struct {
	net.Conn
	armed   *atomic.Pointer[string] // how the statement begins
	pending bool
}

func (b *breaker) Write(p []byte) (int, error) {
	// Four bytes of header and one for the command precede the statement.
	if word := b.armed.Load(); word != nil && len(p) > 5 && bytes.HasPrefix(p[5:], []byte(*word)) {
		b.armed.Store(nil)
		b.pending = true
	}
	return b.Conn.Write(p)
}

func (b *breaker) Read(p []byte) (int, error) {
	if !b.pending {
		return b.Conn.Read(p)
	}
	if _, err := b.Conn.Read(p); err != nil {
		return 0, err
	}
	return 0, net.ErrClosed
}

// breaking opens a store whose connection breaks in the next statement that
// begins with what is stored in armed.
func breaking(t *testing.T, databaseURL string) (s store, armed *atomic.Pointer[string]) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	armed = new(atomic.Pointer[string])
	return migrated(t, databaseURL, config{MaxConns: 2, DialFunc: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
		return &breaker{Conn: conn, armed: armed}, err
	}}), armed
}

func TestAnInsertWhoseAnswerIsLostIsDoneOnce(t *testing.T) {
	s, armed := breaking(t, testdb.MariaDB(t))
	one, two, three := task(0), task(time.Hour), task(0)
	for name, rows := range map[string][]*queue.NewRow{"one": {one}, "two": {two, three}} {
		word := "INSERT INTO claimcheck_tasks"
		armed.Store(&word)
		if err := s.Insert(t.Context(), rows...); err != nil {
			t.Fatalf("%s: Insert: %v", name, err)
		}
		if armed.Load() != nil {
			t.Fatalf("%s: the connection did not break", name)
		}
		for _, row := range rows {
			if row.Existed {
				t.Errorf("%s: the row is said to have existed", name)
			}
			stored, err := s.Get(t.Context(), row.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(stored, row.Row); diff != "" {
				t.Errorf("%s: stored and returned (-+):\n%s", name, diff)
			}
		}
	}
}

func TestAFinishWhoseAnswerIsLostIsDoneOnce(t *testing.T) {
	s, armed := breaking(t, testdb.MariaDB(t))
	row := task(0)
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.Claim(t.Context(), row.ID, claimRequest())
	if err != nil {
		t.Fatal(err)
	}
	word := "UPDATE claimcheck_tasks FORCE INDEX (PRIMARY) SET status"
	armed.Store(&word)
	at, err := s.Finish(t.Context(), claimed.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: []byte(`"done"`)})
	if err != nil {
		t.Fatalf("Finish: %v", err)
	}
	if armed.Load() != nil {
		t.Fatal("the connection did not break")
	}
	if stored, err := s.Get(t.Context(), row.ID); err != nil || stored.Status != queue.StatusSuccessful || !stored.FinishedAt.Equal(at) {
		t.Errorf("Finish at %s; the row: %+v, %v", at, stored, err)
	}
}

// TestNewRowsAreTheSameWhicheverWayTheyCame inserts rows in one statement and
// in a transaction.
func TestNewRowsAreTheSameWhicheverWayTheyCame(t *testing.T) {
	s := migrated(t, testdb.MariaDB(t), config{})
	for _, delay := range []time.Duration{0, 1500 * time.Nanosecond, time.Hour, 90 * 24 * time.Hour, -time.Hour} {
		for _, armed := range []bool{false, true} {
			var ways [2]queue.Row
			for i, fresh := range []bool{false, true} {
				row := task(delay)
				row.FreshID, row.WillDispatch, row.Timeout, row.TraceContext = fresh, armed, 1500*time.Microsecond, "trace"
				if err := s.Insert(t.Context(), row); err != nil {
					t.Fatal(err)
				}
				stored, err := s.Get(t.Context(), row.ID)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(stored, row.Row); diff != "" {
					t.Errorf("delay %s, armed %v: stored and returned (-+):\n%s", delay, armed, diff)
				}
				ways[i] = sinceEnqueued(*stored)
			}
			if diff := cmp.Diff(ways[0], ways[1]); diff != "" {
				t.Errorf("delay %s, armed %v: transaction and statement (-+):\n%s", delay, armed, diff)
			}
		}
	}
}

// sinceEnqueued is row with its times as if it had been enqueued at time zero.
func sinceEnqueued(row queue.Row) queue.Row {
	for _, at := range []*time.Time{&row.RunAfter, &row.DispatchDueAt} {
		if !at.IsZero() {
			*at = time.Unix(0, 0).UTC().Add(at.Sub(row.EnqueuedAt))
		}
	}
	row.ID, row.EnqueuedAt = uuid.Nil, time.Time{}
	return row
}

func TestAStatementIsCommittedWhateverTheServersDefault(t *testing.T) {
	url := dedicated(t, "--autocommit=0")
	row := task(0)
	if err := migrated(t, url, config{}).Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if _, err := migrated(t, url, config{}).Get(t.Context(), row.ID); err != nil {
		t.Error(err)
	}
}
