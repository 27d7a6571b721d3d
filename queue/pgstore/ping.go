package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A connection that has been idle for longer than checkAfter is inspected before it
// is used. One that has been idle for longer than pingAfter is pinged: inspecting it
// does not detect a peer that disappeared without closing the connection.
const (
	checkAfter = time.Second
	pingAfter  = 5 * time.Minute
)

// shouldPing reports whether the pool pings a connection before it is used, and
// replaces it if it does not answer. By default the pool pings each one that has
// been idle for a second, which for an idle worker is one statement beside each of
// its own. A look at the socket shows without a statement that the server closed the
// connection, or has announced that it will.
func shouldPing(_ context.Context, p pgxpool.ShouldPingParams) bool {
	switch {
	case p.IdleDuration <= checkAfter:
		return false
	case p.IdleDuration > pingAfter:
		return true
	}
	if quiet, known := isQuiet(p.Conn.PgConn().Conn()); known {
		return !quiet
	}
	return p.Conn.PgConn().CheckConn() != nil //nolint:staticcheck // Ping is what it replaces here: it does notice a closed connection
}
