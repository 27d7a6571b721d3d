package mysqlstore

import (
	"context"
	"database/sql/driver"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// connector makes connections whose transactions see what others have
// committed, and lock no more than the rows that they read.
type connector struct {
	driver.Connector
	accepted atomic.Bool // a connection was made once

	kills sync.WaitGroup
	slots chan struct{} // bounds the kills under way
}

// Connect makes a connection and asks for its ID, by which a statement on it is
// cancelled.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	made, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, &connectError{err}
	}
	c.accepted.Store(true)
	conn := made.(mysqlConn)
	// There is no variable for it that both MySQL 8 and MariaDB 10 know.
	_, err = conn.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", nil)
	id := int64(0)
	if err == nil {
		id, err = connectionID(ctx, conn)
	}
	if err != nil {
		_ = conn.Close()
		return nil, &connectError{err}
	}
	return &cancelConn{conn, c, id}, nil
}

func connectionID(ctx context.Context, conn mysqlConn) (id int64, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT CAST(CONNECTION_ID() AS SIGNED)", nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	value := make([]driver.Value, 1)
	if err := rows.Next(value); err != nil {
		return 0, err
	}
	switch v := value[0].(type) {
	case int64:
		return v, nil
	case []byte:
		_, err = fmt.Sscan(string(v), &id)
		return id, err
	}
	return 0, fmt.Errorf("CONNECTION_ID() is %T", value[0])
}

// connectError is what kept a connection from being made.
type connectError struct{ cause error }

func (e *connectError) Error() string { return e.cause.Error() }
func (e *connectError) Unwrap() error { return e.cause }

// mysqlConn is what the driver's connections can do.
type mysqlConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// cancelConn cancels on the server the statement whose context has ended. The
// driver only closes the connection, which a server notices when it has an answer
// to send: until then the statement continues, with its locks.
type cancelConn struct {
	mysqlConn
	connector *connector
	id        int64
}

func (c *cancelConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.mysqlConn.ExecContext(ctx, query, args)
	c.ended(ctx, err)
	return result, err
}

func (c *cancelConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.mysqlConn.QueryContext(ctx, query, args)
	c.ended(ctx, err)
	return rows, err
}

// ended cancels a statement that was abandoned: then the driver has closed the
// connection, so that no other statement has its ID.
func (c *cancelConn) ended(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil && !c.IsValid() {
		c.connector.kill(c.id)
	}
}

const (
	mostKills = 2
	killTime  = 2 * time.Second
)

// kill cancels the statement of a connection, beside the caller. Where a server
// is so slow that several are abandoned, those above the bound are left to it.
func (c *connector) kill(id int64) {
	select {
	case c.slots <- struct{}{}:
	default:
		return
	}
	c.kills.Go(func() {
		defer func() { <-c.slots }()
		ctx, cancel := context.WithTimeout(context.Background(), killTime)
		defer cancel()
		conn, err := c.Connector.Connect(ctx)
		if err != nil {
			return // the server that cannot be reached sees the closed connection
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.(mysqlConn).ExecContext(ctx, fmt.Sprintf("KILL QUERY %d", id), nil) // it fails if the statement has ended
	})
}
