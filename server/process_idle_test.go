package server

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// procCounter is a way to a database that counts what goes there: every statement is
// at least one write of the client.
type procCounter struct {
	url   string
	wrote atomic.Int64
}

func procCountStatements(t *testing.T, databaseURL string) *procCounter {
	t.Helper()
	target, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	c := &procCounter{}
	through := *target
	through.Host = listener.Addr().String()
	c.url = through.String()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			database, err := net.Dial("tcp", target.Host)
			if err != nil {
				_ = client.Close()
				return
			}
			go func() { _, _ = io.Copy(client, database); _ = client.Close() }()
			go func() {
				_, _ = io.Copy(database, io.TeeReader(client, c))
				_ = database.Close()
			}()
		}
	}()
	return c
}

// Write counts what a client has sent at once.
func (c *procCounter) Write(p []byte) (int, error) {
	c.wrote.Add(1)
	return len(p), nil
}

// The database of an idle service may be stopped, or scaled to nothing: in cloudtasks
// mode a server that has nothing to do sends it nothing, not even from time to time.
// The test lasts as long as a server in local mode, which does, takes for some polls.
func TestAnIdleServerInCloudTasksModeSendsNoStatements(t *testing.T) {
	t.Parallel()
	c, database := procNewCloud(t), testdb.Postgres(t)
	counted, witness := procCountStatements(t, database), procCountStatements(t, database)
	s := c.serve(t.TempDir(), c.env("DATABASE_URL="+counted.url, "TASKS_LEASE=1s", "TASKS_SWEEP_INTERVAL=1s"))
	id := s.enqueue(`{"task":"demo.echo"}`).ID // it is idle after work, too
	s.wantEnd(id, queue.StatusSuccessful, 1)
	c.wantAnswers(id, http.StatusOK)

	procWantSilence(t, counted, witness)
}

// procWantSilence checks that the server behind counted sends nothing while one in local
// mode behind witness, which is the clock, has started and then polls some times more.
func procWantSilence(t *testing.T, counted, witness *procCounter) {
	t.Helper()
	procServe(t, t.TempDir(), []string{"DATABASE_URL=" + witness.url, "TASKS_MODE=local", "TASKS_SWEEP_INTERVAL=1s"})
	messages := func(n int64) {
		begun := witness.wrote.Load()
		procWait(t, "statements of the server in local mode", func() bool { return witness.wrote.Load() >= begun+n })
	}
	messages(6) // those of its start, and the first poll
	before := counted.wrote.Load()
	messages(2)
	if n := counted.wrote.Load() - before; n != 0 {
		t.Errorf("an idle server has sent %d messages to its database", n)
	}
}
