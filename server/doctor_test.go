package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

// Each fault is named by the check that is for it, and by no other.
func TestDoctorNamesEachSingleFault(t *testing.T) {
	set := func(name, value string) func(*target) { return func(p *target) { p.env[name] = value } }
	queueIs := func(change func(*cloudtaskspb.Queue)) func(*target) {
		return func(p *target) {
			q := goodQueue(targetQueue)
			change(q)
			p.replaceQueue(q)
		}
	}
	refuses := func(fault cloudtaskstest.Fault, code codes.Code, text string) func(*target) {
		return func(p *target) {
			p.fake.SetFaults(cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{fault: 1}, Code: code, Text: text})
		}
	}
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example/health/live")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	live := func(status int) func(*target) { return func(p *target) { p.live = answers(status, "") } }
	execute := func(status int, body string) func(*target) {
		return func(p *target) { p.execute = answers(status, body) }
	}
	dated := func(ahead time.Duration) func(*target) {
		return func(p *target) {
			p.live = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			}
		}
	}
	for _, tc := range []struct {
		fault string
		make  func(*target)
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
		{"audience of nothing", set("OIDC_AUDIENCE", ","), "fail OIDC_AUDIENCE: is set but names nothing"},
		{"handler over another route", set("TASK_HANDLER_URL", "https://h/tasks/cancel/{task_id}/"), "fail TASK_HANDLER_URL: which takes requests for /tasks/cancel/{task_id}/"},
		{"bad lease", set("TASKS_LEASE", "10ms"), "fail TASKS_LEASE: at least 1s"},
		{"bad sweep interval", set("TASKS_SWEEP_INTERVAL", "1ms"), "fail TASKS_SWEEP_INTERVAL: at least 1s"},
		{"bad exporter", set("OTEL_TRACES_EXPORTER", "carrier-pigeon"), "fail OTEL_TRACES_EXPORTER: must be otlp or none … correct OTEL_TRACES_EXPORTER"},
		{"bad webhook secret", set("WEBHOOK_SECRET", "?"), "fail WEBHOOK_SECRET: must be whsec_"},
		{"pool of one", set("DB_MAX_CONNS", "1"), "fail DB_MAX_CONNS: from 2 to 10000"},
		{"strange database", set("DATABASE_URL", "oracle://u:s3cret-pass@x"), "fail DATABASE_URL: must begin with postgres://"},
		{"strange Cloud SQL", set("CLOUD_SQL_INSTANCE", "a"), "fail CLOUD_SQL_INSTANCE: CLOUD_SQL_INSTANCE"},
		{"blank token", set("TASK_API_TOKEN", " "), "fail TASK_API_TOKEN: is blank"},
		{"token that is a word", set("TASK_API_TOKEN", "short"), "warn TASK_API_TOKEN: set, 5 characters … short enough to be guessed … openssl rand -hex 32"},
		{"URL that is a secret", set("TASKS_NOTICE_URL", "https://hooks.slack.com/services/T0/B0/x"), "ok TASKS_NOTICE_URL: set, 40 characters"},
		{"weak token", set("TASK_API_TOKEN", "hunter2"), "warn TASK_API_TOKEN: set, 7 characters … short enough to be guessed … openssl rand -hex 32"},
		{"same admin tokens", func(p *target) { p.env["ADMIN_TOKEN"], p.env["ADMIN_READONLY_TOKEN"] = targetSecret, targetSecret }, "fail ADMIN_TOKEN: must differ"},
		{"issuer without keys", set("OIDC_CERTS_URL", ""), "fail OIDC_ISSUER: must be given together"},
		{"emulator without port", set("CLOUD_TASKS_EMULATOR_HOST", "nonsense"), "fail CLOUD_TASKS_EMULATOR_HOST: it takes host:port"},
		{"bad path", func(p *target) {
			p.onCloudRun("TASK_HANDLER_PATH", "/run/", "DATABASE_URL", testdb.Postgres(p.t))
			p.keep(p.env["DATABASE_URL"])
			p.facts = safe
		}, "fail TASK_HANDLER_PATH: must contain {task_id}"},

		// Queues.
		{"no queue", set("TASKS_QUEUES", "default,reports"), "fail queues: reports does not exist … gcloud tasks queues create reports --location=europe-west1 --project=proc --max-attempts=-1"},
		{"no shard", set("TASKS_QUEUE_ALIASES", "default=default,default=default-2"), "fail queues: default-2 does not exist"},
		{"queue without alias", set("TASKS_QUEUES", "default,e_mails"), "fail TASKS_QUEUES: e_mails … TASKS_QUEUE_ALIASES"},
		{"paused queue", queueIs(func(q *cloudtaskspb.Queue) { q.State = cloudtaskspb.Queue_PAUSED }), "fail queues: default is PAUSED … gcloud tasks queues resume default"},
		{"disabled queue", queueIs(func(q *cloudtaskspb.Queue) { q.State = cloudtaskspb.Queue_DISABLED }), "fail queues: default is DISABLED"},
		{"Cloud Tasks down", set("CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:1"), "fail queues: connection refused … start the emulator"},
		{"API not enabled", refuses(cloudtaskstest.RefuseGetQueue, codes.PermissionDenied, "Cloud Tasks API has not been used in project proc before or it is disabled."), "fail queues: gcloud services enable cloudtasks.googleapis.com --project=proc"},
		{"no credentials", refuses(cloudtaskstest.RefuseGetQueue, codes.Unauthenticated, "who?"), "fail queues: gcloud auth application-default login"},
		{"Cloud Tasks broken", refuses(cloudtaskstest.RefuseGetQueue, codes.Internal, "oops"), "fail queues: queue default … oops … let this network reach"},
		{"no account at all", func(p *target) {
			p.stubs = func(c *doctor.Config) {
				c.Dial = func(context.Context) (*apiv2.Client, error) { return nil, errors.New("no credentials found") }
			}
		}, "fail queues: no credentials found … gcloud auth application-default login"},
		{"no look at queues", refuses(cloudtaskstest.RefuseGetQueue, codes.PermissionDenied, `lacks IAM permission "cloudtasks.queues.get"`), "warn queues: may not read default … gcloud tasks queues add-iam-policy-binding default --location=europe-west1 --project=proc --member=serviceAccount:ACCOUNT --role=roles/cloudtasks.viewer"},
		{"few attempts", queueIs(func(q *cloudtaskspb.Queue) { q.RetryConfig.MaxAttempts = 3 }), "warn queue retries: gives up after 3 deliveries, and tasks have up to 10 attempts … give the emulator's queue default what these flags mean: --max-attempts=-1"},
		{"short retry duration", queueIs(func(q *cloudtaskspb.Queue) { q.RetryConfig.MaxRetryDuration = durationpb.New(time.Hour) }), "warn queue retries: gives up after 1h0m0s … --max-retry-duration=0s"},
		{"quick retries", queueIs(func(q *cloudtaskspb.Queue) { q.RetryConfig.MinBackoff = durationpb.New(100 * time.Millisecond) }), "warn queue retries: 100ms at first … --min-backoff=5s"},
		{"slow retries", queueIs(func(q *cloudtaskspb.Queue) { q.RetryConfig.MaxBackoff = durationpb.New(time.Hour) }), "warn queue retries: waits up to 1h0m0s … --max-backoff=300s"},
		{"slow queue", queueIs(func(q *cloudtaskspb.Queue) { q.RateLimits.MaxDispatchesPerSecond = 0.1 }), "warn queue rates: less than one a second … --max-dispatches-per-second=500"},
		{"too much at once", func(p *target) { p.args = []string{"--max-instances=2", "--concurrency=80"} }, "warn queue rates: run 160 at once … 429 … --max-concurrent-dispatches=160"},
		{"too little at once", func(p *target) { p.args = []string{"--max-instances=100", "--concurrency=80"} }, "warn queue rates: could run 8000 at once … --max-concurrent-dispatches=5000"},

		// Accounts.
		{"no enqueuer", refuses(cloudtaskstest.RefuseCreate, codes.PermissionDenied, `lacks IAM permission "cloudtasks.tasks.create" for the resource`), "fail create task: roles/cloudtasks.enqueuer … gcloud tasks queues add-iam-policy-binding default"},
		{"no actAs", refuses(cloudtaskstest.RefuseCreate, codes.PermissionDenied, `lacks IAM permission "iam.serviceAccounts.actAs" for the resource`), "fail act as: gcloud iam service-accounts add-iam-policy-binding " + procAccount + " --project=proc … roles/iam.serviceAccountUser"},
		{"account does not exist", refuses(cloudtaskstest.RefuseCreate, codes.NotFound, "Requested entity was not found."), "fail act as: there is no account " + procAccount + " … gcloud iam service-accounts create tasks --project=proc"},
		{"create fails", refuses(cloudtaskstest.RefuseCreate, codes.FailedPrecondition, "disabled"), "fail create task: the project's App Engine application"},
		{"no deleting", refuses(cloudtaskstest.RefuseDelete, codes.PermissionDenied, "no"), "warn create task: created, but not deleted … as yourself: gcloud tasks delete claimcheck-doctor- … --queue=default --location=europe-west1 --project=proc"},
		{"keys down", func(p *target) { p.env["OIDC_CERTS_URL"] = "http://127.0.0.1:1/certs" }, "fail keys: connection refused … let this network reach http://127.0.0.1:1/certs"},
		{"no keys", func(p *target) {
			p.certs.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) })
		}, "fail keys: "},
		{"another audience", set("OIDC_AUDIENCE", "https://other.example"), "warn audience: custom audience … OIDC_AUDIENCE=http://127.0.0.1"},

		// The handler.
		{"handler down", func(p *target) { p.handler.Close() }, "fail handler: connection refused … deploy the server there"},
		{"something else there", live(http.StatusNotFound), "fail handler: 404, so another program answers there"},
		{"handler broken", live(http.StatusInternalServerError), "fail handler: 500"},
		{"handler moved", live(http.StatusMovedPermanently), "fail handler: redirected (301) … let TASK_HANDLER_URL begin with https://elsewhere.example, not with http://127.0.0.1"},
		{"open to strangers", execute(http.StatusOK, "{}"), "fail strangers: 200, so every caller may run tasks"},
		{"open to strangers, and empty", execute(http.StatusNotFound, `{"error":"Task not found"}`), "fail strangers: 404, so every caller may run tasks"},
		{"another path", execute(http.StatusNotFound, "404 page not found"), "fail strangers: no handler is there … TASK_HANDLER_PATH"},
		{"redirected path", execute(http.StatusFound, ""), "fail strangers: 302, so no handler is there"},
		{"undecided", execute(http.StatusServiceUnavailable, `{"error":"x"}`), "fail strangers: 503, which neither admits nor refuses"},
		{"clock behind", dated(10 * time.Second), "warn clock: this process's clock is … behind"},
		{"clock ahead", dated(-90 * time.Second), "fail clock: ahead … NTP"},
		{"request ends early", set("REQUEST_TIMEOUT", "300s"), "warn timeouts: REQUEST_TIMEOUT 5m0s is less than tasks may take (9m0s) … they end after 4m50s … REQUEST_TIMEOUT=9m30s"},
		{"request ends before a task", set("REQUEST_TIMEOUT", "30s"), "fail timeouts: task webhook.deliver: a timeout of 30s is longer"},
		{"tasks outlast Cloud Tasks", set("TASKS_TIMEOUT", "1h"), "fail TASKS_TIMEOUT: at most 29m30s here, not 1h0m0s (Cloud Tasks waits 30m"},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			p := newTarget(t)
			tc.make(p)
			for _, r := range p.wants(tc.want) {
				if strings.Contains(r.Detail+r.Fix, "s3cret-pass") {
					t.Errorf("%+v reveals the password", r)
				}
			}
		})
	}
}
