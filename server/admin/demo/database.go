package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver with which the data is written
	_ "modernc.org/sqlite"             // likewise

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/admin/internal/demodata"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// openNight opens an empty database and fills it with a bad night. Without a URL it is a
// file in a temporary folder, which end deletes.
func openNight(ctx context.Context, o options) (store stores.Database, end func(), err error) {
	folder, databaseURL := "", o.database
	if databaseURL == "" {
		if folder, err = os.MkdirTemp("", "claimcheck-demo"); err != nil {
			return nil, nil, err
		}
		databaseURL = "sqlite:" + filepath.Join(folder, "demo.db")
	}
	end = func() {
		if store != nil {
			_ = store.Close()
		}
		if folder != "" {
			_ = os.RemoveAll(folder) // it is the system's to clean up too
		}
	}
	store, db, dialect, err := open(ctx, databaseURL)
	if err == nil {
		if !o.filled {
			err = fill(ctx, store, db, dialect, o.night)
		}
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return store, end, nil
}

// count counts the figures of the night, as a sweeper would have: a sweep would also change
// what the night has left behind.
func count(ctx context.Context, store stores.Database) error {
	steps := []func(context.Context) (bool, error){}
	if counter, ok := store.(queue.Counter); ok {
		steps = append(steps, counter.CountFinished)
	}
	if counter, ok := store.(queue.FigureStore); ok {
		steps = append(steps, counter.CountFigures)
	}
	for _, step := range steps {
		for more := true; more; {
			var err error
			if more, err = step(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// open opens a database with claimcheck and with its driver.
func open(ctx context.Context, databaseURL string) (store stores.Database, db *sql.DB, dialect demodata.Dialect, err error) {
	driver, source := "", databaseURL
	switch scheme, rest, _ := strings.Cut(databaseURL, ":"); scheme {
	case "sqlite":
		driver, source = "sqlite", rest
		store, err = sqlitestore.Open(ctx, sqlitestore.Config{URL: databaseURL, Migrate: true})
	case "postgres", "postgresql":
		driver, dialect = "pgx", demodata.PostgreSQL
		store, err = pgstore.Open(ctx, pgstore.Config{URL: databaseURL, Migrate: true})
	case "mysql":
		driver, dialect = "mysql", demodata.MySQL
		if source, err = mysqlSource(databaseURL); err == nil {
			store, err = mysqlstore.Open(ctx, mysqlstore.Config{URL: databaseURL, Migrate: true})
		}
	default:
		err = fmt.Errorf("-database must begin with sqlite:, postgres:// or mysql://, not %q", scheme)
	}
	if err != nil {
		return nil, nil, 0, err
	}
	if db, err = sql.Open(driver, source); err != nil {
		return nil, nil, 0, errors.Join(err, store.Close())
	}
	return store, db, dialect, nil
}

// mysqlSource is a URL in the words of the driver.
// fill makes up tasks, and counts them as sweeps do.
func fill(ctx context.Context, store stores.Database, db *sql.DB, dialect demodata.Dialect, night demodata.Night) error {
	if err := refuseRows(ctx, db); err != nil {
		return err
	}
	if err := demodata.Fill(ctx, db, dialect, time.Now(), night); err != nil {
		return err
	}
	return count(ctx, store)
}

func mysqlSource(databaseURL string) (string, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "", err
	}
	config := mysql.NewConfig()
	config.Net, config.Addr, config.DBName, config.User = "tcp", u.Host, strings.TrimPrefix(u.Path, "/"), u.User.Username()
	config.Passwd, _ = u.User.Password()
	return config.FormatDSN(), nil
}

// refuseRows protects a database that is in use.
func refuseRows(ctx context.Context, db *sql.DB) error {
	used := false
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM claimcheck_tasks)`).Scan(&used); err != nil {
		return err
	}
	if used {
		return errors.New("the database of -database has tasks already: the invented ones need an empty one")
	}
	return nil
}
