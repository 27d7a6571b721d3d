// Package soak runs a worker and a producer at full speed on a PostgreSQL for a long
// time, and reports whether their memory stays flat and no task is lost.
package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/bench/internal/server"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// part is a process of the soak.
type part struct {
	name string
	cmd  *exec.Cmd
	in   io.Closer
	out  io.ReadCloser
	rss  series
}

func start(name, url string) (*part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &part{name: name, cmd: exec.Command(self, Command, name, url)}
	p.cmd.Stderr = os.Stderr
	var err1, err2 error
	p.in, err1 = p.cmd.StdinPipe()
	p.out, err2 = p.cmd.StdoutPipe()
	return p, errors.Join(err1, err2, p.cmd.Start())
}

// stopTime is how long a part may take to end. After it, it prints what its
// goroutines wait for.
const stopTime = time.Minute

// stop ends the part, and decodes what it has written last into result.
func (p *part) stop(result any) error {
	stuck := time.AfterFunc(stopTime, func() { _ = p.cmd.Process.Signal(syscall.SIGQUIT) })
	defer stuck.Stop()
	err := p.in.Close()
	if result != nil {
		err = errors.Join(err, json.NewDecoder(bufio.NewReader(p.out)).Decode(result))
	}
	if err = errors.Join(err, p.cmd.Wait()); err != nil {
		err = fmt.Errorf("the %s: %w", p.name, err)
	}
	return err
}

// Run is a soak of this length, with the data below dir. The error says whether
// tasks were lost or memory grew.
func Run(ctx context.Context, out io.Writer, dir string, d time.Duration) error {
	postgres, err := server.StartPostgres(ctx, dir)
	if err != nil {
		return err
	}
	defer postgres.Stop()
	url := postgres.URL("postgres")
	store, err := pgstore.Open(ctx, pgstore.Config{URL: url})
	if err != nil {
		return err
	}
	_, err = store.Migrate(ctx)
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	working, err := start(worker, url)
	if err != nil {
		return err
	}
	producing, err := start(producer, url)
	if err != nil {
		return errors.Join(err, working.stop(nil))
	}
	finished, err := watch(ctx, out, conn, d, working, producing)
	var stored int64
	err = errors.Join(err, producing.stop(&stored))
	if err == nil {
		finished, err = settle(ctx, conn, finished)
	}
	if err = errors.Join(err, working.stop(nil)); err != nil {
		return err
	}
	fmt.Fprintf(out, "stored %d, finished %d, in %s\n", stored, finished, d)
	if stored != finished {
		err = fmt.Errorf("%d tasks were stored and %d succeeded", stored, finished)
	}
	return errors.Join(err, working.verdict(out), producing.verdict(out))
}

// interval is how often memory is read and finished tasks are deleted.
const interval = 2 * time.Second

// watch prints a line each minute until the time is over, and deletes what has
// finished, so that the disk does not fill. It returns how many tasks that were.
func watch(ctx context.Context, out io.Writer, conn *pgx.Conn, d time.Duration, parts ...*part) (finished int64, err error) {
	began := time.Now()
	printed, before := began, int64(0)
	for time.Since(began) < d {
		select {
		case <-ctx.Done():
			return finished, ctx.Err()
		case <-time.After(interval):
		}
		n, err := remove(ctx, conn)
		if err != nil {
			return finished, err
		}
		finished += n
		line := make([]string, 0, len(parts))
		for _, p := range parts {
			rss, err := residentMB(p.cmd.Process.Pid)
			if err != nil {
				return finished, fmt.Errorf("the %s has ended: %w", p.name, err)
			}
			p.rss = append(p.rss, point{time.Since(began), rss})
			line = append(line, fmt.Sprintf("%s %.1f MB", p.name, rss))
		}
		if now := time.Now(); now.Sub(printed) >= min(time.Minute, d/3) {
			size, err := tidy(ctx, conn)
			if err != nil {
				return finished, err
			}
			fmt.Fprintf(out, "%s: %s, database %s, %.0f tasks/s\n", now.Sub(began).Round(time.Second), strings.Join(line, ", "), size, float64(finished-before)/now.Sub(printed).Seconds())
			printed, before = now, finished
		}
	}
	return finished, nil
}

// remove deletes tasks that have succeeded, and returns how many. It vacuums too,
// because autovacuum is not made for this many rows in so short a time.
func remove(ctx context.Context, conn *pgx.Conn) (int64, error) {
	tag, err := conn.Exec(ctx, `DELETE FROM claimcheck_tasks WHERE status = 'SUCCESSFUL'`)
	if err == nil {
		_, err = conn.Exec(ctx, `VACUUM claimcheck_tasks`)
	}
	return tag.RowsAffected(), err
}

// tidy keeps the log short, and returns the size of the database.
func tidy(ctx context.Context, conn *pgx.Conn) (size string, err error) {
	if _, err := conn.Exec(ctx, `CHECKPOINT`); err != nil {
		return "", err
	}
	err = conn.QueryRow(ctx, `SELECT pg_size_pretty(pg_database_size(current_database()))`).Scan(&size)
	return size, err
}

// settle waits until no task is left to run. What did not succeed stays, and is
// therefore not counted.
func settle(ctx context.Context, conn *pgx.Conn, finished int64) (int64, error) {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		var live bool
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM claimcheck_tasks WHERE status IN ('READY', 'RUNNING'))`).Scan(&live)
		if err != nil {
			return finished, err
		}
		if !live {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	n, err := remove(ctx, conn)
	return finished + n, err
}

func residentMB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	var kB float64
	if _, err := fmt.Sscanf(after, "%f kB", &kB); err != nil {
		return 0, fmt.Errorf("read VmRSS: %w", err)
	}
	return kB / 1024, nil
}
