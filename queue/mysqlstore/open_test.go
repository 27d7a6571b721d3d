package mysqlstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
)

func mentions(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Error("there is no error")
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not mention %q: %v", word, err)
		}
	}
}

// refused opens a database that cannot be opened. Whatever is wrong, the error
// must be one line without the password.
func refused(t *testing.T, url string) error {
	t.Helper()
	s, err := mysqlstore.Open(t.Context(), mysqlstore.Config{URL: url, AcquireTimeout: 10 * time.Second})
	if err == nil {
		_ = s.Close()
		t.Fatal("it was opened")
	}
	t.Log(err)
	if strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error is more than a line, or contains the password: %q", err)
	}
	return err
}

func TestMySQLOpenSaysWhatIsWrong(t *testing.T) {
	server := testdb.StartMariaDB(t)
	testdb.ExecMySQL(t, server.URL(""), `CREATE DATABASE tasks; CREATE USER app IDENTIFIED BY 'right'; CREATE USER stranger IDENTIFIED BY 's3cret'; GRANT ALL ON *.* TO app`)
	base := strings.TrimSuffix(strings.TrimPrefix(server.URL(""), "mysql://root@"), "/") // host:port
	for name, c := range map[string]struct {
		url      string
		mentions []string
	}{
		"wrong password": {"mysql://app:s3cret@" + base + "/tasks", []string{"refused this user or password", "1045", base + "/tasks", "app", "Config.URL"}},
		"no password":    {"mysql://app@" + base + "/tasks", []string{"refused this user or password"}},
		"no rights":      {"mysql://stranger:s3cret@" + base + "/tasks", []string{"1044", "what the user may do"}},
		"no database":    {"mysql://app:right@" + base + "/nowhere", []string{base + "/nowhere", "no such database", "create it"}},
		"no server":      {"mysql://app:s3cret@127.0.0.1:1/tasks", []string{"127.0.0.1:1/tasks", "does not answer", "connection refused", "is it running"}},
		"no host":        {"mysql://app:s3cret@nowhere.invalid/tasks", []string{"nowhere.invalid:3306/tasks", "host name"}},
		"no socket":      {"mysql://app:s3cret@/tasks?socket=/nowhere/socket", []string{"/nowhere/socket", "no such file", "is the socket", "Cloud SQL connections"}},
		"no encryption":  {"mysql://app:right@" + base + "/tasks?tls=true", []string{"encrypted", "tls in Config.URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := refused(t, c.url)
			mentions(t, err, c.mentions...)
			if !errors.Is(err, queue.ErrUnavailable) {
				t.Error("it is not ErrUnavailable")
			}
		})
	}
	for _, url := range []string{"mysql://app:right@" + base + "/tasks", "mariadb://app:right@" + base + "/tasks", "mysql://app:right@/tasks?socket=" + server.Socket()} {
		if err := migrated(t, url, mysqlstore.Config{MaxConns: 2}).Insert(t.Context(), task(0)); err != nil {
			t.Error(err)
		}
	}
}

func TestMySQLOpenRefusesBadURLs(t *testing.T) {
	for url, word := range map[string]string{
		"mysql:tasks":                                 "mysql://user:password@host:3306/name",
		"mysql://":                                    "no user",
		"mysql://u:s3cret/x@host/db":                  "percent-encoded",
		"mysql://u:s3cret%zz@host/db":                 "percent-encoded",
		"mysql://u:s3cret@host:port/db":               "percent-encoded",
		"mysql://host/db":                             "no user",
		"mysql://u:s3cret@host":                       "no database",
		"mysql://u:s3cret@host/a/b":                   "slash",
		"mysql://u:s3cret@/db":                        "no host",
		"mysql://u:s3cret@host/db?socket=/x":          "host and a socket",
		"mysql://u:s3cret@/db?socket=x":               "absolute",
		"mysql://u:s3cret@host/db?tls=s3cret":         "tls must be",
		"mysql://u:s3cret@host/db?timeout=soon":       "such as 5s",
		"mysql://u:s3cret@host/db?readTimeout=-1s":    "such as 5s",
		"mysql://u:s3cret@host/db?parseTime=true":     `"parseTime" is not known`,
		"mysql://u:s3cret@host/db?tls=true&tls=false": "twice",
		"mysql://u:s3cret@host/db#x":                  "%23",
		"mysql://u:s3cret@host/db?tls=%zz":            "well formed",
		"mariadb://u:s3cret@host":                     "no database",
		"mysql://u:s3cret@unix(/cloudsql/p:r:i)":      "no database",
	} {
		mentions(t, refused(t, url), "Config.URL", word)
		mentions(t, mysqlstore.Config{URL: url}.Validate(), "Config.URL", word)
	}
}

func TestMySQLOpenStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := mysqlstore.Open(ctx, mysqlstore.Config{URL: testdb.MariaDB(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
}

func TestMySQLMigrationSQLDoesWhatMigrateDoes(t *testing.T) {
	url := testdb.MariaDB(t)
	testdb.ExecMySQL(t, url, mysqlstore.MigrationSQL())
	s := open(t, url, mysqlstore.Config{})
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
	if done, err := s.Migrate(t.Context()); err != nil || len(done) != 0 {
		t.Errorf("Migrate: %v, %v", done, err)
	}
	if err := s.Insert(t.Context(), task(0)); err != nil {
		t.Error(err)
	}
	status, err := s.MigrationStatus(t.Context())
	if err != nil || len(status) == 0 || time.Since(status[0].AppliedAt).Abs() > time.Minute {
		t.Errorf("MigrationStatus: %+v, %v", status, err)
	}
}

func TestATaskThatTheServerDoesNotTakeSaysSo(t *testing.T) {
	url := testdb.StartMariaDB(t, "--max-allowed-packet=2M").URL("tasks")
	testdb.ExecMySQL(t, strings.TrimSuffix(url, "tasks"), "CREATE DATABASE tasks")
	s := migrated(t, url, mysqlstore.Config{})
	oneMiB := task(0)
	oneMiB.Args = json.RawMessage(`"` + strings.Repeat("\\n", 1<<19-1) + `"`) // each backslash is sent as two
	if err := s.Insert(t.Context(), oneMiB); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
	many := []*queue.NewRow{task(0), task(0), task(0), task(0)}
	for _, row := range many {
		row.Args = json.RawMessage(`"` + strings.Repeat("x", 1<<20-2) + `"`)
	}
	if err := s.Insert(t.Context(), many...); err != nil {
		t.Errorf("four of 1 MiB: %v", err)
	}
	for _, size := range []int{3 << 20, 40 << 20} {
		large := task(0)
		large.Args = json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
		err := s.Insert(t.Context(), large)
		mentions(t, err, "max_allowed_packet")
		if errors.Is(err, queue.ErrUnavailable) || len(err.Error()) > 500 {
			t.Errorf("%d bytes: %.500v", size, err)
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNamesAreComparedToTheByte(t *testing.T) {
	s := migrated(t, testdb.MariaDB(t), mysqlstore.Config{})
	row := task(0)
	row.Task = "Émail"
	if err := s.Insert(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"émail", "Email", "ÉMAIL"} {
		rows, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{other}, Limit: 1, Worker: "w", Lease: time.Minute})
		if err != nil || len(rows) != 0 {
			t.Errorf("%s: %v, %v", other, rows, err)
		}
	}
	long := task(0)
	long.Task = strings.Repeat("x", 256)
	mentions(t, s.Insert(t.Context(), long), "task_path") // not cut off
}
