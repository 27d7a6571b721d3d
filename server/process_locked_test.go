package server

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// procDatabases are the databases that lock row by row.
var procDatabases = map[string]struct {
	start func(*testing.T) string
	open  func(*testing.T, string) *sql.DB
}{
	"PostgreSQL": {func(t *testing.T) string { return testdb.Postgres(t) }, func(t *testing.T, databaseURL string) *sql.DB {
		return procSQL(t, "pgx", databaseURL)
	}},
	"MariaDB": {func(t *testing.T) string { return testdb.MariaDB(t) }, func(t *testing.T, databaseURL string) *sql.DB {
		u, err := url.Parse(databaseURL)
		if err != nil {
			t.Fatal(err)
		}
		config := mysql.NewConfig()
		config.User, config.Net, config.Addr, config.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
		return procSQL(t, "mysql", config.FormatDSN())
	}},
}

func procSQL(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// procLockRows locks rows until the test ends.
func procLockRows(t *testing.T, db *sql.DB, rows []*queue.Row) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows { // one by one: MariaDB then locks no others
		if _, err := tx.ExecContext(t.Context(), "UPDATE claimcheck_tasks SET interruptions = interruptions WHERE id = '"+row.ID.String()+"'"); err != nil {
			t.Fatal(err)
		}
	}
}

// Deliveries of locked rows, more at once than the pool has connections, cost
// neither enqueues nor heartbeats their connections.
func TestDeliveriesOfLockedRowsLeaveThePoolToOthers(t *testing.T) {
	for name, database := range procDatabases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databaseURL := database.start(t)
			s := procServe(t, t.TempDir(), []string{"DATABASE_URL=" + databaseURL, "TASKS_MODE=pull", "DB_MAX_CONNS=4", "TASKS_LEASE=3s", procToken, "ADMIN_TOKEN=" + attackAdminToken}, "--migrate", "--concurrency=16")
			var rows []*queue.Row
			for range 4 {
				rows = append(rows, s.enqueue(`{"task":"demo.echo"}`))
			}
			long := s.enqueue(`{"task":"demo.sleep","args":{"duration_ms":5000}}`)
			ended := make(chan procReply, 1)
			go func() { ended <- procExecute(s, long.ID, nil) }()
			procWait(t, "the long task to run", func() bool { return s.task(long.ID).Status == queue.StatusRunning })
			procLockRows(t, database.open(t, databaseURL), rows)

			over := make(chan struct{})
			var clients sync.WaitGroup
			for i := range 8 {
				clients.Go(func() { deliverLocked(s, rows[i%len(rows)], over) })
			}
			reply := enqueueUntil(s, ended)
			close(over)
			clients.Wait()
			if reply.status != http.StatusOK || reply.body.Executed == nil || !*reply.body.Executed {
				t.Errorf("the long task: %d %s", reply.status, reply.text)
			}
			if row := s.task(long.ID); row.Status != queue.StatusSuccessful || row.Attempts != 1 {
				t.Errorf("the long task is %s after %d attempts", row.Status, row.Attempts)
			}
			if log := s.log.String(); strings.Contains(log, "unavailable") || strings.Contains(log, "no free database connection") {
				t.Error("the log reports a database that does not answer")
			}
			cancelLocked(s, rows[0])
		})
	}
}

// deliverLocked delivers a locked row until over is closed.
func deliverLocked(s *procServer, row *queue.Row, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		default:
		}
		began := time.Now()
		reply := procExecute(s, row.ID, nil)
		took := time.Since(began)
		if reply.status != http.StatusConflict || reply.header.Get("Retry-After") == "" || reply.body.Reason != queue.ErrLocked.Error() || took > 8*time.Second {
			s.t.Errorf("a delivery of a locked row after %s: %d %s", took, reply.status, reply.text)
		}
	}
}

// enqueueUntil enqueues until the long task has ended.
func enqueueUntil(s *procServer, ended <-chan procReply) procReply {
	for {
		began := time.Now()
		s.enqueue(`{"task":"demo.echo"}`)
		if took := time.Since(began); took > 8*time.Second {
			s.t.Errorf("an enqueue took %s", took)
		}
		select {
		case reply := <-ended:
			return reply
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// cancelLocked asks for the end of a locked row, over HTTP and on the admin's
// pages.
func cancelLocked(s *procServer, row *queue.Row) {
	s.t.Helper()
	began := time.Now()
	reply := s.do(http.MethodPost, "/tasks/cancel/"+row.ID.String()+"/", "")
	var answer struct {
		Cancelled *bool
		Error     string
	}
	if err := json.Unmarshal([]byte(reply.text), &answer); err != nil {
		s.t.Fatal(err)
	}
	if reply.status != http.StatusConflict || answer.Cancelled == nil || *answer.Cancelled || !strings.Contains(answer.Error, queue.ErrLocked.Error()) || reply.header.Get("Retry-After") == "" {
		s.t.Errorf("cancel: %d %s", reply.status, reply.text)
	}
	page := procAct(s, url.Values{"do": {"cancel"}, "pick": {row.ID.String()}})
	if !strings.Contains(page, "1 was locked by another transaction and not changed") || strings.Contains(page, "were skipped") {
		s.t.Errorf("the admin's page does not say that the row is locked:\n%s", page)
	}
	if took := time.Since(began); took > 8*time.Second {
		s.t.Errorf("both answers took %s", took)
	}
	if got := s.task(row.ID); got.Status != queue.StatusReady {
		s.t.Errorf("it is %s", got.Status)
	}
}

// procAct logs in on the admin's pages, submits an action, and returns the page
// that follows.
func procAct(s *procServer, form url.Values) string {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	browser := &http.Client{Timeout: procPatience, Jar: jar}
	var page []byte
	for _, step := range []struct {
		path string
		form url.Values
	}{{"/admin/login", url.Values{"token": {attackAdminToken}}}, {"/admin/act", form}} {
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+step.path, strings.NewReader(step.form.Encode()))
		if err != nil {
			s.t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
		response, err := browser.Do(request)
		if err != nil {
			s.t.Fatal(err)
		}
		page, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			s.t.Fatalf("%s: %d %s: %v", step.path, response.StatusCode, page, err)
		}
	}
	return string(page)
}

// Databases whose default isolation is stricter than what the statements rely on.
func TestWorkersOnDatabasesOfStricterIsolation(t *testing.T) {
	postgres := func(level string, pooled bool) func(*testing.T) (string, []string) {
		return func(t *testing.T) (string, []string) {
			server := testdb.StartPostgres(t)
			testdb.Exec(t, server.URL("postgres"), fmt.Sprintf("ALTER DATABASE postgres SET default_transaction_isolation = '%s'", level))
			if pooled {
				return testdb.StartPgBouncer(t, server, 8).URL("postgres"), []string{"DB_POOLER=true"}
			}
			return server.URL("postgres"), nil
		}
	}
	for name, start := range map[string]func(*testing.T) (string, []string){
		"PostgreSQL, repeatable read": postgres("repeatable read", false),
		"PostgreSQL, serializable":    postgres("serializable", false),
		"PgBouncer, repeatable read":  postgres("repeatable read", true),
		"PgBouncer, serializable":     postgres("serializable", true),
		"MariaDB, serializable": func(t *testing.T) (string, []string) {
			server := testdb.StartMariaDB(t, "--transaction-isolation=SERIALIZABLE")
			testdb.ExecMySQL(t, server.URL(""), "CREATE DATABASE tasks")
			return server.URL("tasks"), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			databaseURL, env := start(t)
			dir, env := t.TempDir(), append(env, "DATABASE_URL="+databaseURL, "LOG_LEVEL=warn", "TASKS_MODE=pull")
			if r := procRun(t, dir, env, "", "migrate"); r.status != 0 {
				t.Fatalf("migrate: %+v", r)
			}
			const tasks = 300
			if r := procRun(t, dir, env, strings.Repeat("{\"task\":\"demo.echo\",\"args\":1}\n", tasks), "enqueue", "-"); len(strings.Fields(r.stdout)) != tasks {
				t.Fatalf("enqueue: %+v", r)
			}
			var workers sync.WaitGroup
			for range 4 {
				workers.Go(func() {
					if r := procRun(t, dir, env, "", "work", "--concurrency=5"); r.status != 0 || r.stderr != "" {
						t.Errorf("work: %+v", r)
					}
				})
			}
			workers.Wait()
			var got struct {
				Successful int `json:"successful_count"`
			}
			if r := procRun(t, dir, env, "", "status", "--json"); json.Unmarshal([]byte(r.stdout), &got) != nil || got.Successful != tasks {
				t.Errorf("status: %+v", r)
			}
		})
	}
}
