package system

import (
	"context"
	"database/sql"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// bareSQL is the yardstick on SQLite and MariaDB: the product's driver and its
// tables, with statements written by hand for each step of each task.
func bareSQL(server Server) System {
	return System{Name: "bare", Server: server, Setup: onURL(migrateSQL), Open: func(_ context.Context, t Target) (Session, error) {
		s := &bareSQLSession{slots: t.Slots}
		var err error
		if server == SQLite {
			s.db, err = sql.Open("sqlite", "file:"+strings.TrimPrefix(t.URL, "sqlite:")+"?_busy_timeout=5000&_journal_mode=WAL&_synchronous=FULL")
			s.claim = s.claimReturning
		} else {
			s.db, err = openMariaDB(t.URL)
			s.claim = s.claimLocking
		}
		if err != nil {
			return nil, err
		}
		conns := poolSize
		if server == SQLite {
			conns = 1 // there is one writer at a time: more would only wait for its lock
		}
		s.db.SetMaxOpenConns(conns)
		s.db.SetMaxIdleConns(conns)
		return s, nil
	}}
}

func openMariaDB(url string) (*sql.DB, error) {
	// mysql://root@127.0.0.1:3306/name
	user, rest, _ := strings.Cut(strings.TrimPrefix(url, "mysql://"), "@")
	address, name, _ := strings.Cut(rest, "/")
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = user, "tcp", address, name
	config.InterpolateParams = true // one round trip for a statement, as the product
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

type bareSQLSession struct {
	db    *sql.DB
	slots int
	claim func(ctx context.Context, claim string) (id string, err error)
}

// Close ends the session.
func (b *bareSQLSession) Close(context.Context) error { return b.db.Close() }

// Enqueue stores one task.
func (b *bareSQLSession) Enqueue(ctx context.Context) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	now := time.Now().UnixMicro()
	_, err = b.db.ExecContext(ctx, `INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, args, enqueued_at,
		status, hold, attempts, max_attempts, interruptions, worker_ids, dispatch_due_at, dispatch_tries)
		VALUES (?, ?, 'default', 'default', 0, ?, ?, 'READY', 0, 0, 10, 0, '[]', ?, 0)`,
		id.String(), taskName, string(sampleJSON), now, now)
	return err
}

// Drain claims, runs and finishes task by task in each slot.
func (b *bareSQLSession) Drain(ctx context.Context, n int, claimed func(time.Duration)) error {
	var begun atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range b.slots {
		group.Go(func() error {
			for begun.Add(1) <= int64(n) {
				claim := uuid.NewString()
				began := time.Now()
				id, err := b.claim(ctx, claim)
				if err != nil {
					return err
				}
				timed(claimed, began)
				if err := b.finish(ctx, id, claim); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

const setClaimed = `UPDATE claimcheck_tasks SET status = 'RUNNING', attempts = attempts + 1, claim_id = ?, lease_expires_at = ?,
	started_at = ?, last_attempted_at = ?, worker_ids = '["worker"]' WHERE id = `

func claimValues(claim string) []any {
	now := time.Now().UnixMicro()
	return []any{claim, now + time.Minute.Microseconds(), now, now}
}

// claimReturning is SQLite's: one statement.
func (b *bareSQLSession) claimReturning(ctx context.Context, claim string) (id string, err error) {
	var args string
	err = b.db.QueryRowContext(ctx, setClaimed+`(SELECT id FROM claimcheck_tasks WHERE status = 'READY' AND hold = 0
		ORDER BY priority DESC, enqueued_at, id LIMIT 1) RETURNING id, args`, claimValues(claim)...).Scan(&id, &args)
	return id, err
}

// claimLocking is MariaDB's, whose UPDATE returns nothing.
func (b *bareSQLSession) claimLocking(ctx context.Context, claim string) (id string, err error) {
	tx, err := b.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return "", err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	var args string
	err = tx.QueryRowContext(ctx, `SELECT id, args FROM claimcheck_tasks FORCE INDEX (claimcheck_tasks_claim) WHERE claim_order IS NOT NULL
		ORDER BY claim_order, enqueued_at, id LIMIT 1 FOR UPDATE SKIP LOCKED`).Scan(&id, &args)
	if err != nil {
		return "", err
	}
	if _, err := tx.ExecContext(ctx, setClaimed+`?`, append(claimValues(claim), id)...); err != nil {
		return "", err
	}
	return id, tx.Commit()
}

func (b *bareSQLSession) finish(ctx context.Context, id, claim string) error {
	result, err := b.db.ExecContext(ctx, `UPDATE claimcheck_tasks SET status = 'SUCCESSFUL', return_value = 'null', finished_at = ?,
		lease_expires_at = NULL WHERE id = ? AND claim_id = ? AND status = 'RUNNING'`, time.Now().UnixMicro(), id, claim)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errMissed("finish", uuid.MustParse(id))
	}
	return nil
}
