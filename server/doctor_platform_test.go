package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

func TestDoctorOnCloudRun(t *testing.T) {
	p := newTarget(t)
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

func TestDoctorReportsWhatRefusedStrangers(t *testing.T) {
	p := newTarget(t)
	if results := p.wants(); !strings.Contains(detailOf(results, "strangers"), "401 by the server itself") {
		t.Error(detailOf(results, "strangers"))
	}
	p.execute = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>Forbidden", http.StatusForbidden) }
	p.live = p.execute
	results := p.wants()
	if text := detailOf(results, "strangers"); !strings.Contains(text, "403 by what is in front of the server, such as Cloud Run's IAM") {
		t.Error(text)
	}
	if text := detailOf(results, "handler"); !strings.Contains(text, "403 from what is in front of") {
		t.Error(text)
	}
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
		{"no account", []string{"OIDC_SERVICE_ACCOUNT_EMAIL", ""}, "fail OIDC_SERVICE_ACCOUNT_EMAIL: elsewhere the account must be set"},
		{"short requests", []string{"REQUEST_TIMEOUT", ""}, "warn timeouts: Cloud Run's default counts … gcloud run services update api --timeout=570 --update-env-vars=REQUEST_TIMEOUT=9m30s"},
		{"tag as audience", []string{"CLOUD_RUN_TAG", "green", "OIDC_AUDIENCE", "https://green---api-123456789.europe-west1.run.app"}, "warn audience: traffic tag … OIDC_AUDIENCE=https://api-123456789.europe-west1.run.app"},
		{"tag", []string{"CLOUD_RUN_TAG", "green"}, "ok audience: https://api-123456789.europe-west1.run.app, that of the handler"},
		{"audiences the wrong way around", []string{"OIDC_AUDIENCE", "https://x.example,https://api-123456789.europe-west1.run.app"}, "warn audience: OIDC_AUDIENCE=https://api-123456789.europe-west1.run.app,https://x.example"},
		{"metadata down", []string{"GCE_METADATA_HOST", "127.0.0.1:1"}, "fail platform: metadata server does not answer … CLOUD_TASKS_PROJECT=my-project CLOUD_TASKS_LOCATION=europe-west1 TASK_HANDLER_URL="},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			p := newTarget(t)
			p.keep(testdb.Postgres(t))
			p.facts = safe
			p.onCloudRun(tc.env...)
			p.wants(tc.want)
		})
	}
}

func TestDoctorOnAppEngine(t *testing.T) {
	p := newTarget(t)
	databaseURL := testdb.Postgres(t)
	p.keep(databaseURL)
	p.facts = safe
	p.onCloudRun("K_SERVICE", "", "GAE_APPLICATION", "s~proc", "GAE_ENV", "standard", "GAE_SERVICE", "default", "GAE_VERSION", "v1", "GAE_INSTANCE", "x",
		"APP_ENGINE_TARGET", "true", "OIDC_SERVICE_ACCOUNT_EMAIL", "")
	var asked []string
	execute := p.execute
	p.execute = func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Host+r.URL.Path)
		execute(w, r)
	}
	results := p.wants()
	if len(asked) != 1 || !strings.HasPrefix(asked[0], "v1-dot-proc.appspot.com/tasks/execute/") {
		t.Errorf("asked %q", asked)
	}
	for _, check := range []string{"act as", "audience", "keys"} {
		if statusOf(results, check) != doctor.Skipped {
			t.Errorf("%s: %s", check, detailOf(results, check))
		}
	}
	if text := detailOf(results, "platform"); text != "App Engine service default, version v1" {
		t.Error(text)
	}
	if text := detailOf(results, "access"); !strings.Contains(text, "App Engine's queues") {
		t.Error(text)
	}
	testdb.Exec(t, databaseURL, "DELETE FROM claimcheck_marks")
	p.wants("warn sweeper: gcloud app deploy cron.yaml")
}

// Queues may be in another region than the service; doctor says that they are.
func TestDoctorSaysThatTheQueuesAreInAnotherRegion(t *testing.T) {
	for location, apart := range map[string]bool{"europe-west4": true, "europe-west1": false} {
		p := newTarget(t)
		p.keep(testdb.Postgres(t))
		p.facts = safe
		p.onCloudRun("CLOUD_TASKS_LOCATION", location)
		detail := detailOf(p.diagnose(), "CLOUD_TASKS_LOCATION")
		if !strings.HasPrefix(detail, location) || strings.Contains(detail, "this service runs in europe-west1, so that each delivery crosses") != apart {
			t.Errorf("queues in %s: %q", location, detail)
		}
	}
}
