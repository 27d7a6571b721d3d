package pgstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

func TestAWrongFieldIsNamed(t *testing.T) {
	pool := newPool(t, testdb.Postgres(t))
	for name, c := range map[string]struct {
		config pgstore.Config
		field  string
		text   string
	}{
		"nothing":         {pgstore.Config{}, "URL", "it is required: postgres://"},
		"no URL":          {pgstore.Config{URL: "host=h dbname=d"}, "URL", "it is not a PostgreSQL URL"},
		"a bad parameter": {pgstore.Config{URL: "postgres://u:s3cret@h/d?sslmode=sometimes"}, "URL", "it is not a PostgreSQL URL"},
		"two sockets":     {pgstore.Config{URL: "postgres://u:s3cret@//s/d?host=/s"}, "URL", "names a socket twice"},
		"SQLite":          {pgstore.Config{URL: "sqlite:tasks.db"}, "URL", "package sqlitestore"},
		"MariaDB":         {pgstore.Config{URL: "mariadb://u:s3cret@h/d"}, "URL", "package mysqlstore"},
		"one connection":  {pgstore.Config{URL: "postgres://h/d", MaxConns: 1}, "MaxConns", "it must be at least 2, not 1"},
		"URL and Pool":    {pgstore.Config{URL: "postgres://h/d", Pool: pool}, "Pool", "Config.URL is set too"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.config.Validate()
			var wrong *queue.ConfigError
			if !errors.As(err, &wrong) || wrong.Field != c.field || !strings.Contains(wrong.Text, c.text) || strings.Contains(err.Error(), "s3cret") {
				t.Fatalf("%v", err)
			}
			if !strings.HasPrefix(err.Error(), "Config."+c.field+": ") {
				t.Errorf("the text does not begin with the field: %v", err)
			}
			if _, opened := pgstore.Open(t.Context(), c.config); opened == nil || opened.Error() != err.Error() {
				t.Errorf("Open: %v", opened)
			}
		})
	}
}

// A program that sets the fields from its own settings names those.
func TestMessagesUseTheNamesOfTheProgramsSettings(t *testing.T) {
	config := pgstore.Config{URL: "postgres://postgres@127.0.0.1:1/x", SettingName: func(field string) string { return "SETTING_" + field }}
	mentions(t, refused(t, config), "are host and port in SETTING_URL right?")
}

func newPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestOpenWithAPoolOfTheCallers(t *testing.T) {
	pool := newPool(t, testdb.Postgres(t))
	s, err := pgstore.Open(t.Context(), pgstore.Config{Pool: pool, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.PgxPool() != pool {
		t.Error("another pool")
	}
	stored(t, s, 1) // Migrate has made the tables
}

func TestAPoolOfTheCallersStaysOpenWhenOpenFails(t *testing.T) {
	url := testdb.Postgres(t)
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	mentions(t, refused(t, pgstore.Config{Pool: pool}), "synchronous_commit is off")
	if err := pool.Ping(t.Context()); err != nil {
		t.Errorf("the pool: %v", err)
	}
}

func TestMessagesAboutAPoolOfTheCallersNameThePool(t *testing.T) {
	pool := newPool(t, "postgres://postgres@127.0.0.1:1/x")
	mentions(t, refused(t, pgstore.Config{Pool: pool}), "are host and port in the pool's connection string right?")
}

func TestObserveSeesEachCall(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	config := pgstore.Config{URL: testdb.Postgres(t), Migrate: true, Observe: func(_ context.Context, op string) func(error) {
		return func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				op += " failed"
			}
			seen = append(seen, op)
		}
	}}
	s := open(t, config)
	if _, err := s.Get(t.Context(), stored(t, s, 1)[0].ID); err != nil {
		t.Fatal(err)
	}
	if want := []string{"open PostgreSQL", "insert tasks", "get task"}; !slices.Equal(seen, want) {
		t.Errorf("observed %q; want %q", seen, want)
	}
}
