package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/internal/dbfacts"
	"github.com/claimcheck-go/claimcheck/internal/doctor"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// safe takes away what the servers of tests do without.
func safe(f *dbfacts.Facts) {
	for i := range f.Durability {
		f.Durability[i].Loses = ""
	}
}

func TestDoctorFindsNothingWhereNothingIsWrong(t *testing.T) {
	for name, databaseURL := range map[string]func(testing.TB) string{
		"PostgreSQL": testdb.Postgres, "MariaDB": testdb.MariaDB, "SQLite": nil,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			if databaseURL != nil {
				p.keep(databaseURL(t))
			}
			p.facts = safe
			results := p.wants()
			for _, r := range results {
				if r.Status == doctor.Skipped && name == "PostgreSQL" {
					t.Errorf("skipped: %+v", r)
				}
			}
			if len(p.fake.Tasks()) != 0 {
				t.Error("it left a Cloud Task behind")
			}
		})
	}
}

func TestDoctorOnCloudRun(t *testing.T) {
	p := newPatient(t)
	p.keep(testdb.Postgres(t))
	p.facts = safe
	p.onCloudRun()
	results := p.wants()
	text := ""
	for _, r := range results {
		text += doctorLine(r) + "\n"
	}
	for _, part := range []string{
		"Cloud Run service api, revision api-00001-abc", "proc (metadata project/project-id)", "europe-west1 (metadata instance/region)",
		"https://api-123456789.europe-west1.run.app/tasks/execute/{task_id}/ (variable K_SERVICE",
		"cloudtasks (auto: Cloud Run service)", "runs as run@proc.iam.gserviceaccount.com; deliveries are signed as " + procAccount,
		procAccount + " (variable OIDC_SERVICE_ACCOUNT_EMAIL)", "at https://www.googleapis.com/oauth2/v3/certs",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("it does not say %q:\n%s", part, text)
		}
	}
}

// Each fault is named by the check that is for it, and by no other.
func TestDoctorNamesEachSingleFault(t *testing.T) {
	set := func(name, value string) func(*patient) { return func(p *patient) { p.env[name] = value } }
	queueIs := func(change func(*cloudtaskspb.Queue)) func(*patient) {
		return func(p *patient) {
			q := goodQueue(patientQueue)
			change(q)
			p.replaceQueue(q)
		}
	}
	refuses := func(fault cloudtaskstest.Fault, code codes.Code, text string) func(*patient) {
		return func(p *patient) {
			p.fake.SetFaults(cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{fault: 1}, Code: code, Text: text})
		}
	}
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	live := func(status int) func(*patient) { return func(p *patient) { p.live = answers(status, "") } }
	execute := func(status int, body string) func(*patient) {
		return func(p *patient) { p.execute = answers(status, body) }
	}
	dated := func(ahead time.Duration) func(*patient) {
		return func(p *patient) {
			p.live = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			}
		}
	}
	for _, tc := range []struct {
		fault string
		make  func(*patient)
		want  string
	}{
		// Settings.
		{"no project", set("CLOUD_TASKS_PROJECT", ""), "fail CLOUD_TASKS_PROJECT: variable GOOGLE_CLOUD_PROJECT is not set … set CLOUD_TASKS_PROJECT=my-project"},
		{"no location", set("CLOUD_TASKS_LOCATION", ""), "fail CLOUD_TASKS_LOCATION: set CLOUD_TASKS_LOCATION=europe-west1"},
		{"no handler URL", set("TASK_HANDLER_URL", ""), "fail TASK_HANDLER_URL: neither a Cloud Run service nor App Engine … set TASK_HANDLER_URL=https://HOST"},
		{"no account", set("OIDC_SERVICE_ACCOUNT_EMAIL", ""), "fail OIDC_SERVICE_ACCOUNT_EMAIL: set OIDC_SERVICE_ACCOUNT_EMAIL="},
		{"bad project", set("CLOUD_TASKS_PROJECT", "my project"), `fail CLOUD_TASKS_PROJECT: is "my project" … correct CLOUD_TASKS_PROJECT (--cloud-tasks-project)`},
		{"handler URL without ID", set("TASK_HANDLER_URL", "https://h/run/"), "fail TASK_HANDLER_URL: must contain {task_id} once"},
		{"two accounts", set("OIDC_SERVICE_ACCOUNT_EMAIL", "a@b.c,d@e.f"), "fail OIDC_SERVICE_ACCOUNT_EMAIL: one e-mail address"},
		{"bad alias", set("TASKS_QUEUE_ALIASES", "default=a_b"), "fail TASKS_QUEUE_ALIASES: letters, digits and hyphens"},
		{"bad lease", set("TASKS_LEASE", "10ms"), "fail TASKS_LEASE: at least 1s"},
		{"bad sweep interval", set("TASKS_SWEEP_INTERVAL", "1ms"), "fail TASKS_SWEEP_INTERVAL: at least 1s"},
		{"bad webhook secret", set("WEBHOOK_SECRET", "?"), "fail WEBHOOK_SECRET: must be whsec_"},
		{"pool of none", set("DB_MAX_CONNS", "0"), "fail DB_MAX_CONNS: from 1 to 10000"},
		{"strange database", set("DATABASE_URL", "oracle://u:s3cret-pass@x"), "fail DATABASE_URL: must begin with postgres://"},
		{"strange Cloud SQL", set("CLOUD_SQL_INSTANCE", "a"), "fail CLOUD_SQL_INSTANCE: CLOUD_SQL_INSTANCE"},
		{"blank token", set("TASK_API_TOKEN", " "), "fail TASK_API_TOKEN: is blank"},
		{"weak token", set("TASK_API_TOKEN", "hunter2"), "warn TASK_API_TOKEN: set, 7 characters … short enough to be guessed … openssl rand -hex 32"},
		{"same admin tokens", func(p *patient) { p.env["ADMIN_TOKEN"], p.env["ADMIN_READONLY_TOKEN"] = patientSecret, patientSecret }, "fail ADMIN_TOKEN: must differ"},
		{"issuer without keys", set("OIDC_CERTS_URL", ""), "fail OIDC_ISSUER: must be given together"},
		{"emulator without port", set("CLOUD_TASKS_EMULATOR_HOST", "nonsense"), "fail CLOUD_TASKS_EMULATOR_HOST: it takes host:port"},
		{"bad path", func(p *patient) {
			p.onCloudRun("TASK_HANDLER_PATH", "/run/", "DATABASE_URL", testdb.Postgres(p.t))
			p.keep(p.env["DATABASE_URL"])
			p.facts = safe
		}, "fail TASK_HANDLER_PATH: must contain {task_id}"},

		// Queues.
		{"no queue", set("TASKS_QUEUES", "default,reports"), "fail queues: reports does not exist … gcloud tasks queues create reports --location=europe-west1 --project=proc --max-attempts=-1"},
		{"no shard", set("TASKS_QUEUE_ALIASES", "default=default,default=default-2"), "fail queues: default-2 does not exist"},
		{"queue without alias", set("TASKS_QUEUES", "default,e_mails"), "fail queues: e_mails … TASKS_QUEUE_ALIASES"},
		{"paused queue", queueIs(func(q *cloudtaskspb.Queue) { q.State = cloudtaskspb.Queue_PAUSED }), "fail queues: default is PAUSED … gcloud tasks queues resume default"},
		{"disabled queue", queueIs(func(q *cloudtaskspb.Queue) { q.State = cloudtaskspb.Queue_DISABLED }), "fail queues: default is DISABLED"},
		{"Cloud Tasks down", set("CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:1"), "fail queues: connection refused … start the emulator"},
		{"API not enabled", refuses(cloudtaskstest.RefuseGetQueue, codes.PermissionDenied, "Cloud Tasks API has not been used in project proc before or it is disabled."), "fail queues: gcloud services enable cloudtasks.googleapis.com --project=proc"},
		{"no credentials", refuses(cloudtaskstest.RefuseGetQueue, codes.Unauthenticated, "who?"), "fail queues: gcloud auth application-default login"},
		{"no look at queues", refuses(cloudtaskstest.RefuseGetQueue, codes.PermissionDenied, `lacks IAM permission "cloudtasks.queues.get"`), "warn queues: may not look at default … roles/cloudtasks.viewer"},
		{"few attempts", queueIs(func(q *cloudtaskspb.Queue) { q.RetryConfig.MaxAttempts = 3 }), "warn queue retries: gives up after 3 deliveries, and tasks have up to 10 attempts … gcloud tasks queues update default --location=europe-west1 --project=proc --max-attempts=-1"},
		{"short retry duration", queueIs(func(q *cloudtaskspb.Queue) { q.RetryConfig.MaxRetryDuration = durationpb.New(time.Hour) }), "warn queue retries: gives up after 1h0m0s … --max-retry-duration=0s"},
		{"quick retries", queueIs(func(q *cloudtaskspb.Queue) { q.RetryConfig.MinBackoff = durationpb.New(100 * time.Millisecond) }), "warn queue retries: 100ms at first … --min-backoff=5s"},
		{"slow retries", queueIs(func(q *cloudtaskspb.Queue) { q.RetryConfig.MaxBackoff = durationpb.New(time.Hour) }), "warn queue retries: waits up to 1h0m0s … --max-backoff=300s"},
		{"slow queue", queueIs(func(q *cloudtaskspb.Queue) { q.RateLimits.MaxDispatchesPerSecond = 0.1 }), "warn queue rates: less than one a second … --max-dispatches-per-second=500"},
		{"too much at once", func(p *patient) { p.args = []string{"--max-instances=2", "--concurrency=80"} }, "warn queue rates: run 160 at once … 429 … --max-concurrent-dispatches=160"},
		{"too little at once", func(p *patient) { p.args = []string{"--max-instances=100", "--concurrency=80"} }, "warn queue rates: could run 8000 at once … --max-concurrent-dispatches=5000"},

		// Accounts.
		{"no enqueuer", refuses(cloudtaskstest.RefuseCreate, codes.PermissionDenied, `lacks IAM permission "cloudtasks.tasks.create" for the resource`), "fail create task: roles/cloudtasks.enqueuer … gcloud tasks queues add-iam-policy-binding default"},
		{"no actAs", refuses(cloudtaskstest.RefuseCreate, codes.PermissionDenied, `lacks IAM permission "iam.serviceAccounts.actAs" for the resource`), "fail act as: gcloud iam service-accounts add-iam-policy-binding " + procAccount + " --project=proc … roles/iam.serviceAccountUser"},
		{"account does not exist", refuses(cloudtaskstest.RefuseCreate, codes.NotFound, "Requested entity was not found."), "fail act as: there is no account " + procAccount + " … gcloud iam service-accounts create tasks --project=proc"},
		{"create fails", refuses(cloudtaskstest.RefuseCreate, codes.FailedPrecondition, "disabled"), "fail create task: the project's App Engine application"},
		{"no deleting", refuses(cloudtaskstest.RefuseDelete, codes.PermissionDenied, "no"), "warn create task: it stays there … claimcheck-doctor- … roles/cloudtasks.taskDeleter"},
		{"keys down", func(p *patient) { p.env["OIDC_CERTS_URL"] = "http://127.0.0.1:1/certs" }, "fail keys: connection refused … let this network reach http://127.0.0.1:1/certs"},
		{"another audience", set("OIDC_AUDIENCE", "https://other.example"), "warn audience: custom audience … OIDC_AUDIENCE=http://127.0.0.1"},

		// The handler.
		{"handler down", func(p *patient) { p.handler.Close() }, "fail handler: connection refused … deploy the server there"},
		{"something else there", live(http.StatusNotFound), "fail handler: 404, so something else is there"},
		{"handler broken", live(http.StatusInternalServerError), "fail handler: 500"},
		{"handler moved", live(http.StatusMovedPermanently), "fail handler: redirected (301) … https://elsewhere.example/"},
		{"open to strangers", execute(http.StatusOK, "{}"), "fail strangers: 200, so anybody may run tasks"},
		{"open to strangers, and empty", execute(http.StatusNotFound, `{"error":"Task not found"}`), "fail strangers: 404, so anybody may run tasks"},
		{"another path", execute(http.StatusNotFound, "404 page not found"), "fail strangers: no handler is there … TASK_HANDLER_PATH"},
		{"redirected path", execute(http.StatusFound, ""), "fail strangers: 302, so no handler is there"},
		{"undecided", execute(http.StatusServiceUnavailable, `{"error":"x"}`), "fail strangers: 503, which neither lets in nor refuses"},
		{"clock behind", dated(10 * time.Second), "warn clock: this process's clock is … behind"},
		{"clock ahead", dated(-90 * time.Second), "fail clock: ahead … NTP"},
		{"request ends early", set("REQUEST_TIMEOUT", "300s"), "warn timeouts: REQUEST_TIMEOUT 5m0s is less than tasks want (9m0s) … they end after 4m50s … REQUEST_TIMEOUT=9m30s"},
		{"request ends before a task", set("REQUEST_TIMEOUT", "30s"), "fail timeouts: task webhook.deliver: a timeout of 30s is longer"},
		{"tasks outlast Cloud Tasks", set("TASKS_TIMEOUT", "1h"), "warn timeouts: Cloud Tasks waits 30m … TASKS_TIMEOUT=29m30s"},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			p := newPatient(t)
			tc.make(p)
			for _, r := range p.wants(tc.want) {
				if strings.Contains(r.Detail+r.Mend, "s3cret-pass") {
					t.Errorf("%+v tells the password", r)
				}
			}
		})
	}
}

// replaceQueue puts another queue in the place of the first.
func (p *patient) replaceQueue(q *cloudtaskspb.Queue) {
	p.t.Helper()
	fake, err := cloudtaskstest.New(cloudtaskstest.Config{Issuer: p.certs.URL, Queues: []*cloudtaskspb.Queue{q}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(fake.Close)
	p.fake = fake
	p.stubs = func(e *examination) { e.dial = fake.Client }
}

func TestDoctorTellsWhoRefusedStrangers(t *testing.T) {
	p := newPatient(t)
	if results := p.wants(); !strings.Contains(detailOf(results, "strangers"), "401 by the server itself") {
		t.Error(detailOf(results, "strangers"))
	}
	p.execute = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>Forbidden", http.StatusForbidden) }
	p.live = p.execute
	results := p.wants()
	if text := detailOf(results, "strangers"); !strings.Contains(text, "403 by what stands before the server, such as Cloud Run's IAM") {
		t.Error(text)
	}
	if text := detailOf(results, "handler"); !strings.Contains(text, "403 from what stands before") {
		t.Error(text)
	}
}

func detailOf(results []doctor.Result, check string) string {
	for _, r := range results {
		if r.Check == check {
			return r.Detail
		}
	}
	return ""
}

func TestDoctorNamesFaultsOfThePlatform(t *testing.T) {
	for _, tc := range []struct {
		fault string
		env   []string
		want  string
	}{
		{"no database", []string{"DATABASE_URL", ""}, "fail DATABASE_URL: is required here"},
		{"SQLite on a disk that is not kept", []string{"DATABASE_URL", "sqlite:t.db"}, "fail DATABASE_URL: is not kept … postgres://USER"},
		{"emulator", []string{"CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:1"}, "fail CLOUD_TASKS_EMULATOR_HOST: is refused on Cloud Run"},
		{"issuer of an emulator", []string{"OIDC_ISSUER", "http://x"}, "fail OIDC_ISSUER: are an emulator's"},
		{"no account", []string{"OIDC_SERVICE_ACCOUNT_EMAIL", ""}, "fail OIDC_SERVICE_ACCOUNT_EMAIL: elsewhere the account must be said"},
		{"short requests", []string{"REQUEST_TIMEOUT", ""}, "warn timeouts: Cloud Run's default counts … gcloud run services update api --timeout=570 --update-env-vars=REQUEST_TIMEOUT=9m30s"},
		{"tag as audience", []string{"CLOUD_RUN_TAG", "green", "OIDC_AUDIENCE", "https://green---api-123456789.europe-west1.run.app"}, "warn audience: traffic tag … OIDC_AUDIENCE=https://api-123456789.europe-west1.run.app"},
		{"audiences the wrong way around", []string{"OIDC_AUDIENCE", "https://x.example,https://api-123456789.europe-west1.run.app"}, "warn audience: OIDC_AUDIENCE=https://api-123456789.europe-west1.run.app,https://x.example"},
		{"metadata down", []string{"GCE_METADATA_HOST", "127.0.0.1:1"}, "fail platform: metadata server does not answer … CLOUD_TASKS_PROJECT=my-project CLOUD_TASKS_LOCATION=europe-west1 TASK_HANDLER_URL="},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			p := newPatient(t)
			p.keep(testdb.Postgres(t))
			p.facts = safe
			p.onCloudRun(tc.env...)
			p.wants(tc.want)
		})
	}
}

func TestDoctorNamesFaultsOfTheDatabase(t *testing.T) {
	facts := func(change func(*dbfacts.Facts)) func(*patient, string) {
		return func(p *patient, _ string) {
			p.facts = func(f *dbfacts.Facts) { safe(f); change(f) }
		}
	}
	with := func(parameter, value string) func(*patient, string) {
		return func(p *patient, databaseURL string) {
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
	sql := func(statement string) func(*patient, string) {
		return func(p *patient, databaseURL string) { testdb.Exec(p.t, databaseURL, statement) }
	}
	for _, tc := range []struct {
		fault string
		make  func(*patient, string)
		want  []string
	}{
		{"down", func(p *patient, _ string) { p.env["DATABASE_URL"] = "postgres://u:s3cret-pass@127.0.0.1:1/d" }, []string{"fail database: does not answer … is it running"}},
		{"no such database", func(p *patient, databaseURL string) {
			u, _ := url.Parse(databaseURL)
			u.Path = "/nowhere"
			p.env["DATABASE_URL"] = u.String()
		}, []string{"fail database: there is no such database"}},
		{"replica", with("default_transaction_read_only", "on"), []string{"fail database: takes no writes … the primary"}},
		{"too old", facts(func(f *dbfacts.Facts) { f.TooOld, f.Version = true, "12.1" }), []string{"fail version: PostgreSQL 12.1 is older than 14 … upgrade to PostgreSQL 14"}},
		{"acknowledged rows are lost", with("synchronous_commit", "off"), []string{"fail durability: synchronous_commit = off … SET synchronous_commit = on"}},
		{"standby may lack rows", with("synchronous_commit", "local"), []string{"warn durability: synchronous_commit = local"}},
		{"pool too large", func(p *patient, _ string) { p.env["DB_MAX_CONNS"], p.facts = "150", safe }, []string{"warn connections: a pool of 150 … no room for a second instance … DB_MAX_CONNS=98"}},
		{"too many instances", func(p *patient, _ string) { p.args, p.facts = []string{"--max-instances=30", "--concurrency=20"}, safe }, []string{"warn connections: 30 instances want 300 … DB_MAX_CONNS=3"}},
		{"too many during a release", func(p *patient, _ string) { p.args, p.facts = []string{"--max-instances=10"}, safe }, []string{"warn connections: 200 while a release runs … DB_MAX_CONNS=9"}},
		{"user limit", facts(func(f *dbfacts.Facts) { f.UserLimit = 15 }), []string{"warn connections: the limit of this user"}},
		{"pooler", facts(func(f *dbfacts.Facts) { f.Pooled = true }), []string{"warn pooler: DB_POOLER=true"}},
		{"schema behind", func(p *patient, databaseURL string) {
			sql("DELETE FROM claimcheck_schema WHERE version_id = (SELECT max(version_id) FROM claimcheck_schema)")(p, databaseURL)
			p.facts = safe
		}, []string{"fail schema: 1 of … server migrate"}},
		{"no schema", func(p *patient, _ string) { p.env["DATABASE_URL"], p.facts = testdb.Postgres(p.t), safe }, []string{"fail schema: server migrate"}},
		{"clock of the database", facts(func(f *dbfacts.Facts) { f.Now = f.Now.Add(-10 * time.Second) }), []string{"warn database clock: behind … NTP"}},
		{"wrong hour", facts(func(f *dbfacts.Facts) { f.Now = f.Now.Add(5 * time.Minute) }), []string{"fail database clock: ahead"}},
		{"never swept", func(p *patient, databaseURL string) {
			sql("DELETE FROM claimcheck_marks")(p, databaseURL)
			p.facts = safe
		}, []string{"warn sweeper: never been seen … gcloud scheduler jobs create http claimcheck-sweep --location=europe-west1 --project=proc … /tasks/sweep/ … --oidc-service-account-email=" + procAccount}},
		{"not swept lately", facts(func(f *dbfacts.Facts) { f.Now = f.Now.Add(20 * time.Minute) }), []string{"warn sweeper: 20m", "fail database clock: ahead"}},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			p := newPatient(t)
			databaseURL := testdb.Postgres(t)
			p.keep(databaseURL)
			tc.make(p, databaseURL)
			for _, r := range p.wants(tc.want...) {
				if strings.Contains(r.Detail, "s3cret-pass") {
					t.Errorf("%+v tells the password", r)
				}
			}
		})
	}
}

func TestDoctorSeesANewerSchemaAndAPoolerThatIsAllowedFor(t *testing.T) {
	p := newPatient(t)
	databaseURL := testdb.Postgres(t)
	p.keep(databaseURL)
	testdb.Exec(t, databaseURL, "INSERT INTO claimcheck_schema (version_id, is_applied) VALUES (4711, true)")
	p.env["DB_POOLER"] = "true"
	p.facts = func(f *dbfacts.Facts) { safe(f); f.Pooled = true }
	results := p.wants()
	for check, text := range map[string]string{"schema": "version 4711, ahead of this program's", "pooler": "no statement is prepared", "connections": "through a pooler"} {
		if said := detailOf(results, check); !strings.Contains(said, text) {
			t.Errorf("%s: %s", check, said)
		}
	}
}

// What depends on a fault is skipped and names it, down to the root.
func TestDoctorSkipsWhatItCannotKnow(t *testing.T) {
	p := newPatient(t)
	p.keep(testdb.Postgres(t))
	p.env["DATABASE_URL"] = "postgres://u@127.0.0.1:1/d"
	p.handler.Close()
	p.env["TASKS_QUEUES"] = "nowhere"
	results := p.wants("fail database: 127.0.0.1:1", "fail handler: refused", "fail queues: nowhere")
	for check, need := range map[string]string{
		"version": "database", "schema": "database", "sweeper": "schema", "strangers": "handler", "clock": "handler",
		"queue retries": "queues", "queue rates": "queues", "create task": "queues", "act as": "create task",
	} {
		if statusOf(results, check) != doctor.Skipped || detailOf(results, check) != "it needs "+need {
			t.Errorf("%s: %s %s", check, statusOf(results, check), detailOf(results, check))
		}
	}
}

func TestDoctorInAnEmptyDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	c := &cli{t: t, env: map[string]string{}}
	out := c.ok("doctor")
	for _, part := range []string{"local (auto", "sqlite:claimcheck.db (default)", "does not exist yet", "local mode", " 0 to look at, 0 failed, "} {
		if !strings.Contains(out, part) {
			t.Errorf("it does not say %q:\n%s", part, out)
		}
	}
	if _, err := os.Stat("claimcheck.db"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it made the database: %v", err)
	}
	c.ok("enqueue", "demo.echo")
	if out := c.ok("doctor"); !strings.Contains(out, "up to date") || !strings.Contains(out, "SQLite 3") {
		t.Error(out)
	}
}

func TestDoctorCallsAsACommand(t *testing.T) {
	t.Chdir(t.TempDir())
	c := &cli{t: t, env: map[string]string{"TASKS_MODE": "cloudtasks", "TASK_API_TOKEN": patientSecret}}
	status, out, stderr := c.call("", "doctor", "--json", "--tasks-queues=default")
	var results []map[string]string
	if err := json.Unmarshal([]byte(out), &results); err != nil || status != 1 || stderr != "" {
		t.Fatalf("%d %v\n%s%s", status, err, out, stderr)
	}
	seen := map[string]map[string]string{}
	for _, r := range results {
		seen[r["check"]] = r
		if len(r) != 4 {
			t.Errorf("%v", r)
		}
	}
	for check, detail := range map[string]string{
		"TASKS_MODE": "cloudtasks (variable TASKS_MODE)", "TASKS_QUEUES": "default (flag --tasks-queues)",
		"TASK_API_TOKEN": "set, 32 characters (variable TASK_API_TOKEN)",
	} {
		if seen[check]["detail"] != detail || seen[check]["status"] != "ok" {
			t.Errorf("%s: %v", check, seen[check])
		}
	}
	for _, missing := range []string{"CLOUD_TASKS_PROJECT", "CLOUD_TASKS_LOCATION", "TASK_HANDLER_URL", "OIDC_SERVICE_ACCOUNT_EMAIL"} {
		if seen[missing]["status"] != "fail" || !strings.Contains(seen[missing]["mend"], missing+"=") {
			t.Errorf("%s: %v", missing, seen[missing])
		}
	}
	if strings.Contains(out, patientSecret) {
		t.Error("it tells the secret")
	}
	for want, args := range map[string][]string{
		"--max-instances": {"doctor", "--max-instances=-1"}, "--tasks-lease": {"doctor", "--tasks-lease=soon"},
	} {
		if status, _, stderr := c.call("", args...); status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%v: %d %s", args, status, stderr)
		}
	}
}

func TestDoctorInPullMode(t *testing.T) {
	t.Chdir(t.TempDir())
	c := &cli{t: t, env: map[string]string{"TASKS_MODE": "pull"}}
	status, out, _ := c.call("", "doctor")
	if status != 1 || !strings.Contains(out, "warn     access") || !strings.Contains(out, "fail     schema") || !strings.Contains(out, "pull mode") {
		t.Errorf("%d\n%s", status, out)
	}
	c.ok("migrate")
	c.env["OIDC_ALLOWED_EMAILS"], c.env["OIDC_AUDIENCE"] = "a@b.c", "https://x.example"
	_, out, _ = c.call("", "doctor")
	if !strings.Contains(out, "OIDC tokens of a@b.c") || strings.Contains(out, "warn     access") {
		t.Error(out)
	}
}

// No setting whose name says that it is secret is printed.
func TestDoctorPrintsNoSecret(t *testing.T) {
	c := &cli{t: t, env: map[string]string{"DATABASE_URL": "postgres://u:" + patientSecret + "@127.0.0.1:1/d?sslpassword=" + patientSecret}}
	t.Chdir(t.TempDir())
	for _, name := range []string{"TASK_API_TOKEN", "TASK_HMAC_SECRET", "ADMIN_TOKEN", "WEBHOOK_SECRET"} {
		c.env[name] = patientSecret
	}
	c.env["ADMIN_READONLY_TOKEN"] = patientSecret + "x"
	c.env["TASK_HANDLER_URL"] = "https://u:" + patientSecret + "@h/{task_id}"
	for _, args := range [][]string{{"doctor"}, {"doctor", "--json"}, {"doctor", "--tasks-mode=cloudtasks"}} {
		_, out, stderr := c.call("", args...)
		if strings.Contains(out+stderr, patientSecret) || !strings.Contains(out, "ADMIN_TOKEN") {
			t.Errorf("%v:\n%s%s", args, out, stderr)
		}
	}
}
