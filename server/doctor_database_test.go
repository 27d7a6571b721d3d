package server

import (
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/dbfacts"
)

func TestDoctorNamesFaultsOfTheDatabase(t *testing.T) {
	facts := func(change func(*dbfacts.Facts)) func(*target, string) {
		return func(p *target, _ string) {
			p.facts = func(f *dbfacts.Facts) { safe(f); change(f) }
		}
	}
	with := func(parameter, value string) func(*target, string) {
		return func(p *target, databaseURL string) {
			u, _ := url.Parse(databaseURL)
			query := u.Query()
			query.Set(parameter, value)
			u.RawQuery = query.Encode()
			p.env["DATABASE_URL"] = u.String()
			p.facts = func(f *dbfacts.Facts) {
				for i := range f.Durability[1:] {
					f.Durability[i+1].Loses = ""
				}
			}
		}
	}
	sql := func(statement string) func(*target, string) {
		return func(p *target, databaseURL string) { testdb.Exec(p.t, databaseURL, statement) }
	}
	for _, tc := range []struct {
		fault string
		make  func(*target, string)
		want  []string
	}{
		{"down", func(p *target, _ string) { p.env["DATABASE_URL"] = "postgres://u:s3cret-pass@127.0.0.1:1/d" }, []string{"fail database: does not answer … is it running"}},
		{"no such database", func(p *target, databaseURL string) {
			u, _ := url.Parse(databaseURL)
			u.Path = "/nowhere"
			p.env["DATABASE_URL"] = u.String()
		}, []string{"fail database: there is no such database … → create the database, or correct its name in DATABASE_URL"}},
		{"refused user", func(p *target, databaseURL string) {
			u, _ := url.Parse(databaseURL)
			u.User = url.UserPassword("nosuchuser", "s3cret-pass")
			p.env["DATABASE_URL"] = u.String()
		}, []string{"fail database: refused this user or password … → correct the user and the password"}},
		{"replica", with("default_transaction_read_only", "on"), []string{"fail database: takes no writes … the primary"}},
		{"too old", facts(func(f *dbfacts.Facts) { f.TooOld, f.Version = true, "12.1" }), []string{"fail version: PostgreSQL 12.1 is older than 14 … upgrade to PostgreSQL 14"}},
		{"acknowledged rows are lost", with("synchronous_commit", "off"), []string{"fail durability: synchronous_commit = off … SET synchronous_commit = on"}},
		{"standby may lack rows", with("synchronous_commit", "local"), []string{"warn durability: synchronous_commit = local"}},
		{"pool too large", func(p *target, _ string) { p.env["DB_MAX_CONNS"], p.facts = "150", safe }, []string{"warn connections: a pool of 150 … no room for a second instance … DB_MAX_CONNS=98"}},
		{"too many instances", func(p *target, _ string) { p.args, p.facts = []string{"--max-instances=30", "--concurrency=20"}, safe }, []string{"warn connections: 30 instances want 300 … DB_MAX_CONNS=3"}},
		{"too many during a release", func(p *target, _ string) { p.args, p.facts = []string{"--max-instances=10"}, safe }, []string{"warn connections: 200 while a release runs … DB_MAX_CONNS=9"}},
		{"user limit", facts(func(f *dbfacts.Facts) { f.UserLimit = 15 }), []string{"warn connections: the limit of this user"}},
		{"pooler", facts(func(f *dbfacts.Facts) { f.Pooled = true }), []string{"warn pooler: DB_POOLER=true"}},
		{"schema behind", func(p *target, databaseURL string) {
			sql("DELETE FROM claimcheck_schema WHERE version_id = (SELECT max(version_id) FROM claimcheck_schema)")(p, databaseURL)
			p.facts = safe
		}, []string{"fail schema: 1 of … server migrate"}},
		{"no schema", func(p *target, _ string) { p.env["DATABASE_URL"], p.facts = testdb.Postgres(p.t), safe }, []string{"fail schema: server migrate"}},
		{"clock of the database", facts(func(f *dbfacts.Facts) { f.Now = f.Now.Add(-10 * time.Second) }), []string{"warn database clock: behind … NTP"}},
		{"wrong hour", facts(func(f *dbfacts.Facts) { f.Now = f.Now.Add(5 * time.Minute) }), []string{"fail database clock: ahead"}},
		{"never swept", func(p *target, databaseURL string) {
			sql("DELETE FROM claimcheck_marks")(p, databaseURL)
			p.facts = safe
		}, []string{"warn sweeper: it has never run … → server sweep"}},
		{"not swept lately", facts(func(f *dbfacts.Facts) { f.Now = f.Now.Add(20 * time.Minute) }), []string{"warn sweeper: 20m", "fail database clock: ahead"}},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			p := newTarget(t)
			databaseURL := testdb.Postgres(t)
			p.keep(databaseURL)
			tc.make(p, databaseURL)
			for _, r := range p.wants(tc.want...) {
				if strings.HasPrefix(r.Detail, "inspect:") {
					t.Errorf("%+v begins with the name of a function", r)
				}
				if strings.Contains(r.Detail, "s3cret-pass") {
					t.Errorf("%+v reveals the password", r)
				}
			}
		})
	}
}

func TestDoctorSeesANewerSchemaAndAPoolerThatIsAllowedFor(t *testing.T) {
	p := newTarget(t)
	databaseURL := testdb.Postgres(t)
	p.keep(databaseURL)
	testdb.Exec(t, databaseURL, "INSERT INTO claimcheck_schema (version_id, is_applied) VALUES (4711, true)")
	p.env["DB_POOLER"] = "true"
	p.facts = safe
	p.args = []string{"--max-instances=7"}
	results := p.wants()
	for check, text := range map[string]string{"pooler": "none was seen, yet DB_POOLER is true", "connections": "7 instances want 70, and 140 while a release runs", "queue rates": "7 instances run 560 at once"} {
		if said := detailOf(results, check); !strings.Contains(said, text) {
			t.Errorf("%s: %s", check, said)
		}
	}
	p.facts = func(f *dbfacts.Facts) { safe(f); f.Pooled = true }
	results = p.wants()
	for check, text := range map[string]string{"schema": "version 4711, ahead of this program's", "pooler": "no statement is prepared", "connections": "through a pooler"} {
		if said := detailOf(results, check); !strings.Contains(said, text) {
			t.Errorf("%s: %s", check, said)
		}
	}
}

// A directory that takes no files, not even root's, and other places where SQLite
// only says that it is "unable to open database file (14)".
func TestSQLiteFileThatCannotBeMade(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		"/proc/x.db": "the directory /proc, where SQLite keeps files beside the database, is not writable by this user",
		dir:          dir + " is a directory: let DATABASE_URL name a file in it",
	} {
		c := newCLI(t)
		c.env["DATABASE_URL"] = "sqlite:" + path
		if status, _, stderr := c.call("", "serve", "--listen=127.0.0.1:0"); status != 1 || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("serve: status %d %s", status, stderr)
		}
		status, stdout, _ := c.call("", "doctor")
		if line := regexp.MustCompile("(?m)^fail +database .*$").FindString(stdout); status != 1 || !strings.Contains(line, want) || !strings.Contains(line, "DATABASE_URL") {
			t.Errorf("doctor: status %d\n%s", status, stdout)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
