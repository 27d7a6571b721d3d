package server

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// One server process lives through everything that may be wrong with what it
// depends on, one fault after the other, and answers as before after each.
func TestOneServerLivesThroughEveryDegradedDependency(t *testing.T) {
	t.Parallel()
	d := &degraded{t: t, cloud: procNewCloud(t), postgres: testdb.StartPostgres(t)}
	d.url = d.postgres.URL("postgres")
	d.sql("CREATE ROLE app LOGIN; GRANT CREATE ON SCHEMA public TO app")
	app := strings.Replace(d.url, "postgres@", "app@", 1)
	// One connection, so that every request meets the fault on the same one.
	d.procServer = d.cloud.serve(t.TempDir(), d.cloud.env("DATABASE_URL="+app+"?statement_timeout=1000",
		"DB_MAX_CONNS=2", "TASKS_DISPATCH_TIMEOUT=1s"))
	for _, fault := range databaseFaults {
		t.Run("database "+fault.name, func(t *testing.T) { d.databaseFault(t, fault) })
	}
	for _, fault := range cloudFaults {
		t.Run("Cloud Tasks "+fault.name, func(t *testing.T) { d.cloudFault(t, fault) })
	}
}

// degraded is the server with what it depends on.
type degraded struct {
	*procServer
	t        *testing.T
	cloud    *procCloud
	postgres *testdb.Server
	url      string // of the database, for a superuser
}

// databaseFault is a way for the database to fail. What only reads may continue.
type databaseFault struct {
	name       string
	begin, end func(*degraded)
	reads      int    // the answer of /tasks/status/
	ready      int    // and of /health/ready
	says       string // in the line of the log about it
	contended  bool   // the database is healthy, and cancels statements
}

var databaseFaults = []databaseFault{
	{
		name:  "stopped",
		begin: func(d *degraded) { d.postgres.Stop(d.t) },
		end:   func(d *degraded) { d.postgres.Start(d.t) },
		reads: 503, ready: 503, says: `PostgreSQL at 127\.0\.0\.1:\d+/postgres as user app`,
	},
	{
		name: "read-only", // as after a failover: 25006
		begin: func(d *degraded) {
			d.sql("ALTER SYSTEM SET default_transaction_read_only = on")
			d.sql("SELECT pg_reload_conf()")
		},
		end: func(d *degraded) {
			d.sql("ALTER SYSTEM RESET default_transaction_read_only")
			d.sql("SELECT pg_reload_conf()")
		},
		reads: 200, ready: 200, says: `SQLSTATE 25006`,
	},
	{
		name: "full",
		// No disk is filled here: a trigger says what the server says then.
		begin: func(d *degraded) {
			d.sql(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				RAISE 'could not extend file "base/5/16384": No space left on device' USING ERRCODE = '53100'; END $$;
			CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON claimcheck_tasks EXECUTE FUNCTION full_disk()`)
		},
		end:   func(d *degraded) { d.sql("DROP FUNCTION full_disk CASCADE") },
		reads: 200, ready: 200, says: `No space left on device \(SQLSTATE 53100\)`,
	},
	{
		name: "out of connections", // 53300, once those that there were are gone
		begin: func(d *degraded) {
			d.sql("ALTER ROLE app CONNECTION LIMIT 0")
			d.sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'app'")
		},
		end:   func(d *degraded) { d.sql("ALTER ROLE app CONNECTION LIMIT -1") },
		reads: 503, ready: 503, says: `(SQLSTATE 57P01|SQLSTATE 53300|the connection broke)`,
	},
	{
		name:  "slow", // beyond the statement_timeout of its URL: 57014
		begin: func(d *degraded) { d.lock() },
		end:   func(d *degraded) { d.sql(terminateLockers) },
		reads: 503, ready: 200, says: `statement timeout \(SQLSTATE 57014\)`, contended: true,
	},
}

// locker is the application_name of connections that hold locks.
const (
	locker           = "locker"
	terminateLockers = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = '" + locker + "'"
)

// sql runs statements as a superuser, read-only window or not.
func (d *degraded) sql(statements string) {
	d.t.Helper()
	testdb.Exec(d.t, d.url+"?default_transaction_read_only=off", statements)
}

func (d *degraded) lock() { procLock(d.t, d.url) }

// procLock keeps the table locked until terminateLockers.
func procLock(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url+"?application_name="+locker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	tx, err := conn.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "LOCK TABLE claimcheck_tasks IN ACCESS EXCLUSIVE MODE")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// store is the request that stores a task, or the same once more.
func (d *degraded) store(id uuid.UUID, more string) procReply {
	d.t.Helper()
	return d.do(http.MethodPost, "/tasks/enqueue/", `{"task":"demo.echo","id":"`+id.String()+`"`+more+`}`)
}

// waiting stores a task for which no delivery will come.
func (d *degraded) waiting() uuid.UUID {
	d.t.Helper()
	d.cloud.SetFaults(refuseCreates)
	defer d.cloud.SetFaults(cloudtaskstest.Faults{})
	return d.enqueue(`{"task":"demo.echo"}`).ID
}

var refuseCreates = cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: 1}}

// want compares an answer; a 503 under /tasks/ asks for patience.
func (d *degraded) want(what string, got procReply, status int) {
	d.t.Helper()
	if got.status != status {
		d.t.Errorf("%s: %d %s, want %d", what, got.status, got.text, status)
	}
	if got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") == "" {
		d.t.Errorf("%s: 503 without Retry-After", what)
	}
}

// probe checks what the probes say. The process must be alive, come what may.
func (d *degraded) probe(ready int) {
	d.t.Helper()
	if reply := d.do(http.MethodGet, "/health/live", ""); reply.status != http.StatusOK {
		d.t.Errorf("live: %d", reply.status)
	}
	if reply := d.do(http.MethodGet, "/health/ready", ""); reply.status != ready {
		d.t.Errorf("ready: %d, want %d", reply.status, ready)
	}
}

func (d *degraded) databaseFault(t *testing.T, fault databaseFault) {
	d.t, d.procServer.t, d.cloud.t = t, t, t
	stored, fresh := d.waiting(), uuid.New()
	logged := len(d.log.String())
	fault.begin(d)
	procWait(t, "the fault to be felt", func() bool { return d.store(uuid.New(), "").status == http.StatusServiceUnavailable })

	d.want("enqueue", d.store(fresh, ""), 503)
	d.want("execute", procExecute(d.procServer, stored, d.cloud.bearer(procAccount)), 503)
	d.want("enqueue", d.store(fresh, ""), 503)
	d.probe(fault.ready)
	d.want("status", d.do(http.MethodGet, "/tasks/status/", ""), fault.reads)
	if fault.ready == 503 { // nothing can be done at all
		document := d.do(http.MethodGet, "/tasks/openapi.json", "")
		for _, e := range described(t, []byte(document.text), stored.String()) {
			if e.path != "/tasks/openapi.json" {
				d.want(e.String(), d.do(e.method, e.path, e.body), 503)
			}
		}
	}

	fault.end(d)
	procWait(t, "the same request to succeed", func() bool { return d.store(fresh, "").status == http.StatusCreated })
	d.probe(http.StatusOK)
	if reply := procExecute(d.procServer, stored, d.cloud.bearer(procAccount)); reply.status != 200 || reply.body.Executed == nil || !*reply.body.Executed {
		t.Errorf("execute afterwards: %d %s", reply.status, reply.text)
	}
	d.wantEnd(fresh, queue.StatusSuccessful, 1)
	d.wantEnd(stored, queue.StatusSuccessful, 1)

	log := d.log.String()[logged:]
	if fault.contended {
		if !regexp.MustCompile(`level=WARN msg="the database aborted a statement" error=.*`+fault.says).MatchString(log) || strings.Contains(log, "level=ERROR") {
			t.Errorf("the log does not say %s, and nothing else:\n%s", fault.says, log)
		}
		return
	}
	if begun, ended := strings.Count(log, `msg="database unavailable"`), strings.Count(log, "database calls succeed again"); begun != 1 || ended != 1 {
		t.Errorf("%d lines at the beginning and %d at the end:\n%s", begun, ended, log)
	}
	if !regexp.MustCompile(`level=ERROR msg="database unavailable" error=.*` + fault.says).MatchString(log) {
		t.Errorf("the log does not say %s:\n%s", fault.says, log)
	}
	if strings.Contains(log, "panic") || strings.Count(log, "level=ERROR") != 1 {
		t.Errorf("more errors than one:\n%s", log)
	}
}
