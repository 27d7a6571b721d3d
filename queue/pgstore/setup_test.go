package pgstore

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A connection that breaks after the log-in, while the session is set up, is an
// unavailable database as one that breaks before it.
func TestConnectionThatBreaksWhileItIsSetUp(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go logIn(server)
		return &broken{Conn: client}, nil
	}
	_, err := Open(t.Context(), Config{URL: "postgres://u:p@h/db", DialFunc: dial})
	if !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), "the connection broke") {
		t.Errorf("got %v", err)
	}
}

// logIn is a server that admits a client.
func logIn(conn net.Conn) {
	server := pgproto3.NewBackend(conn, conn)
	if _, err := server.ReceiveStartupMessage(); err != nil {
		return
	}
	server.Send(&pgproto3.AuthenticationOk{})
	server.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	_ = server.Flush()
}

// broken takes one message, which is the log-in.
type broken struct {
	net.Conn
	messages atomic.Int64
}

func (b *broken) Write(p []byte) (int, error) {
	if b.messages.Add(1) > 1 {
		return 0, syscall.ECONNRESET
	}
	return b.Conn.Write(p)
}
