package run

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/claimcheck-go/claimcheck/bench/internal/server"
)

// storage is one kind of server as measurements use it.
type storage interface {
	// PID is the process whose CPU is the server's; 0 if it has none.
	PID() (int, error)
	// empty makes an empty database, and returns its URL.
	empty(ctx context.Context, name string) (url string, err error)
	// settle leaves a database that was filled as a server would after a while.
	settle(ctx context.Context, name string) error
	// copies reports whether replicate is of use: whether a copy is made faster
	// than the database is filled again.
	copies() bool
	// replicate makes one database a copy of another.
	replicate(ctx context.Context, from, to string) (url string, err error)
	drop(ctx context.Context, name string)
}

// errNoCopies is never seen, as copies says so before.
var errNoCopies = errors.New("there are no copies here")

type postgresStorage struct{ *server.Postgres }

func (p postgresStorage) empty(ctx context.Context, name string) (string, error) {
	return p.URL(name), p.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)", "CREATE DATABASE "+name)
}

func (p postgresStorage) settle(ctx context.Context, name string) error {
	return p.Exec(ctx, name, "VACUUM ANALYZE")
}

func (postgresStorage) copies() bool { return true }

func (p postgresStorage) replicate(ctx context.Context, from, to string) (string, error) {
	// The checkpoint comes first: the copy is in the log whole, so that the
	// measurement need not write whole pages again, as right after a checkpoint.
	return p.URL(to), p.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+to+" WITH (FORCE)", "CHECKPOINT", "CREATE DATABASE "+to+" TEMPLATE "+from)
}

func (p postgresStorage) drop(ctx context.Context, name string) {
	_ = p.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
}

type redisStorage struct{ *server.Redis }

func (r redisStorage) empty(context.Context, string) (string, error) { return r.Addr, r.Flush() }

func (redisStorage) settle(context.Context, string) error { return nil }

func (redisStorage) copies() bool { return false }

func (redisStorage) replicate(context.Context, string, string) (string, error) {
	return "", errNoCopies
}

func (redisStorage) drop(context.Context, string) {}

type mariadbStorage struct{ *server.MariaDB }

func (m mariadbStorage) empty(ctx context.Context, name string) (string, error) {
	return m.URL(name), m.Exec(ctx, "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name)
}

func (mariadbStorage) settle(context.Context, string) error { return nil }

func (mariadbStorage) copies() bool { return false }

func (mariadbStorage) replicate(context.Context, string, string) (string, error) {
	return "", errNoCopies
}

func (m mariadbStorage) drop(ctx context.Context, name string) {
	_ = m.Exec(ctx, "DROP DATABASE IF EXISTS "+name)
}

// fileStorage is SQLite in a directory.
type fileStorage struct{ dir string }

func (fileStorage) PID() (int, error) { return 0, nil }

func (f fileStorage) path(name string) string { return filepath.Join(f.dir, name+".db") }

func (f fileStorage) empty(ctx context.Context, name string) (string, error) {
	f.drop(ctx, name)
	return "sqlite:" + f.path(name), nil
}

func (fileStorage) settle(context.Context, string) error { return nil }

func (fileStorage) copies() bool { return true }

// replicate copies the file. No process has it open, so that nothing of it is in a
// log beside it.
func (f fileStorage) replicate(ctx context.Context, from, to string) (url string, err error) {
	f.drop(ctx, to)
	source, err := os.Open(f.path(from))
	if err != nil {
		return "", err
	}
	defer source.Close()
	target, err := os.Create(f.path(to))
	if err != nil {
		return "", err
	}
	_, err = io.Copy(target, source)
	return "sqlite:" + f.path(to), errors.Join(err, target.Sync(), target.Close())
}

func (f fileStorage) drop(_ context.Context, name string) {
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		_ = os.Remove(f.path(name) + suffix)
	}
}

// fakeStorage is the fake of Cloud Tasks, whose tasks the measurement deletes.
type fakeStorage struct{ *server.CloudTasks }

func (f fakeStorage) empty(context.Context, string) (string, error) { return f.Addr, nil }

func (fakeStorage) settle(context.Context, string) error { return nil }

func (fakeStorage) copies() bool { return false }

func (fakeStorage) replicate(context.Context, string, string) (string, error) { return "", errNoCopies }

func (fakeStorage) drop(context.Context, string) {}
