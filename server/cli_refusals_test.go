package server

import (
	"strings"
	"testing"
)

func TestWrongCallsAreOneLineThatNamesTheSetting(t *testing.T) {
	for want, args := range map[string][]string{
		"unknown flag --nope":                                                                     {"--nope"},
		`unknown command "serv", did you mean "serve"?`:                                           {"serv"},
		"--tasks-lease: must be a duration such as 90s or 5m":                                     {"--tasks-lease", "x"},
		"TASKS_LEASE must be at least 1s, not 10ms":                                               {"--tasks-lease=10ms", "serve"},
		"--older-than=15m":                                                                        {"requeue"},
		"--older-than: must be a duration such as 90s or 5m, not \"15\"":                          {"requeue", "--older-than=15"},
		"--interval: must be a duration such as 90s or 5m, or a number of seconds, not \"often\"": {"work", "--interval=often"},
		"--interval must be more than 0":                                                          {"work", "--interval=0"},
		"--max-tasks must be 0 (no limit) or more":                                                {"work", "--max-tasks=-1"},
		"--empty-exit-code and --failed-exit-code":                                                {"work", "--empty-exit-code=256"},
		"--concurrency must be at least 1, not 0":                                                 {"work", "--concurrency=0"},
		`--backend "x" is not known; known: default`:                                              {"work", "--backend=x"},
		`--backend "y" is not known; known: default`:                                              {"status", "--backend=y"},
		`--backend "nope" is not known; known: default`:                                           {"requeue", "--older-than=1m", "--backend=nope"},
		`--backend "z" is not known; known: default`:                                              {"enqueue", "demo.echo", "--backend=z"},
		`--older-than: must be a duration such as 90s, 5m or 48h, not "-5m"`:                      {"requeue", "--older-than=-5m"},
		`--older-than: must be a duration such as 90s, 5m or 48h, not "1d"`:                       {"requeue", "--older-than=1d"},
		`--older-than: must be a duration such as 90s or 5m, not "0": the unit is required`:       {"requeue", "--older-than=0"},
		"--max-attempts must be from 1 to ":                                                       {"requeue", "--older-than=1m", "--max-attempts=0"},
		", not 2147483648":                                                                        {"requeue", "--older-than=1m", "--max-attempts=2147483648"},
		`not ""`:                                                                                  {"enqueue", "demo.echo", "--id="},
		"queue_name":                                                                              {"enqueue", "demo.echo", "--queue="},
		`--backend "" is not known`:                                                               {"enqueue", "demo.echo", "--backend="},
		"--task must be the name of a task; leave it out for all":                                 {"purge", "--task="},
		"--days must be from 0 to 36500":                                                          {"purge", "--days=-1"},
		"--batch-size must be from 1 to 10000":                                                    {"purge", "--batch-size=10001"},
		"--status must list SUCCESSFUL, FAILED or CANCELLED":                                      {"purge", "--status=READY"},
		"DATABASE_URL: the parameter \"nonsense\" is not known":                                   {"migrate", "--database-url=mysql://u:s3cret@h/d?nonsense=1"},
		"sslmode": {"migrate", "--database-url=postgres://localhost/x?sslmode=bogus"},
		"DATABASE_URL must be sqlite:PATH or sqlite::memory:":                                {"migrate", "--database-url=sqlite:"},
		`DATABASE_URL: a SQLite database takes no parameters, and "x.db?mode=ro" would be`:   {"migrate", "--database-url=sqlite:x.db?mode=ro"},
		"server: DATABASE_URL names no database":                                             {"migrate", "--database-url=mysql://u@/"},
		`--priority: must be a whole number from -100 to 100, not "abc"`:                     {"enqueue", "demo.echo", "--priority", "abc"},
		"priority must be a whole number from -100 to 100, not -101":                         {"enqueue", "demo.echo", "--priority", "-101"},
		`--db-max-conns: must be a whole number from 2 to 10000, not "x"`:                    {"migrate", "--db-max-conns=x"},
		`--days: must be a whole number from 0 to 36500, not "1.5"`:                          {"purge", "--days", "1.5"},
		`--interval: must be a duration such as 90s or 5m, or a number of seconds, not "-1"`: {"work", "--interval", "-1"},
		`--max-tasks: must be a whole number of 0 (no limit) or more, not "many"`:            {"work", "--max-tasks=many"},
		"DB_MAX_CONNS must be from":                                                          {"migrate", "--db-max-conns=2147483648", "--database-url=postgres://localhost/x"},
		"put -- before arguments that begin with a dash":                                     {"enqueue", "demo.echo", "-5"},
		"--id: ID must be a UUID such":                                                       {"enqueue", "demo.echo", "--id=00000000-0000-0000-0000-000000000000"},
		"TASK_HANDLER_URL":                                                                   {"--tasks-mode=cloudtasks", "--task-handler-url=x{task_id}", "--cloud-tasks-project=p", "--cloud-tasks-location=l", "--oidc-service-account-email=a@b.c"},
		"TASK_API_TOKEN is blank":                                                            {"--task-api-token= "}, // in local mode too, which would else be open
		"TASK_HMAC_SECRET is blank":                                                          {"--tasks-mode=pull", "--task-hmac-secret=\n\t"},
		"Set TASK_API_TOKEN or TASK_HMAC_SECRET":                                             {"--tasks-mode=pull"},
		"--tasks-mode must be one of":                                                        {"serve", "--tasks-mode=x"},
		"--log-level must be one of":                                                         {"tasks", "--log-level=loud"},
		"--tasks-max-body: must be a size from 1B to 1GiB":                                   {"--tasks-max-body=much"},
		"DB_MAX_CONNS must be from 2 to 10000, not 1: one connection is kept for heartbeats": {"migrate", "--db-max-conns=1", "--database-url=postgres://localhost/x"},
		"--concurrency must be at least 1, not -3":                                           {"--concurrency=-3"},
		"DATABASE_URL must begin with":                                                       {"migrate", "--database-url=oracle://x"},
		"DATABASE_URL is not a PostgreSQL URL":                                               {"migrate", "--database-url=postgres://u:p%zz@h/d"},
		"ID must be a UUID":                                                                  {"result", "7"},
		"--id: ID must be a UUID":                                                            {"enqueue", "demo.echo", "--id=7"},
		"--run-after must be a time such as":                                                 {"enqueue", "demo.echo", "--run-after=soon"},
		"ARGS-JSON is not valid JSON":                                                        {"enqueue", "demo.echo", "{a"},
		`task "demo.ecko" is not registered; did you mean demo.echo`:                         {"enqueue", "demo.ecko"},
		"priority must be a whole number from -100 to 100":                                   {"enqueue", "demo.echo", "--priority=101"},
		"enqueue - reads everything from its lines":                                          {"enqueue", "-", "--queue=x"},
		"TASKS_SWEEP_INTERVAL must be 0 (never) or at least 1s":                              {"--tasks-sweep-interval=10ms"},
		"--limit must be from 1 to 10000, not 0":                                             {"sweep", "--limit=0"},
		"task webhook.deliver: a timeout of 30s is longer than the 27s that a task may take here": {"--tasks-mode=cloudtasks", "--task-handler-url=https://h/{task_id}",
			"--cloud-tasks-project=p", "--cloud-tasks-location=l", "--oidc-service-account-email=a@b.c", "--request-timeout=30s"},
		"refusing to start":                             {"--listen=0.0.0.0:0"},
		"--listen must be HOST:PORT":                    {"--listen=nonsense"},
		"TASK_HANDLER_PATH must contain {task_id} once": {"--task-handler-path=/run/"},
		"such as /tasks/execute/{task_id}/":             {"--task-handler-path=/{task_id}/{task_id}/"},
		`TASK_HANDLER_PATH must not be "/tasks/{task_id}/", which takes requests for /tasks/enqueue/`:                     {"--task-handler-path=/tasks/{task_id}/"},
		`which takes requests for /tasks/cancel/{task_id}/`:                                                               {"--task-handler-path=/tasks/cancel/{task_id}/"},
		`TASK_HANDLER_PATH must not have the path "/admin/{task_id}/"`:                                                    {"--task-handler-path=/admin/{task_id}/"},
		`TASK_HANDLER_PATH must not have the path "/health/{task_id}"`:                                                    {"--task-handler-path=/health/{task_id}"},
		`TASK_HANDLER_URL must not be "/tasks/result/{task_id}/"`:                                                         {"--task-handler-url=https://h/tasks/result/{task_id}/"},
		`CLOUD_TASKS_EMULATOR_HOST is "x"; it takes host:port`:                                                            {"--cloud-tasks-emulator-host=x", "--cloud-tasks-project=p", "--cloud-tasks-location=l", "--task-handler-url=http://h/{task_id}", "--oidc-service-account-email=a@b.c"},
		`CLOUD_TASKS_EMULATOR_HOST is "127.0.0.1:99999"`:                                                                  {"--cloud-tasks-emulator-host=127.0.0.1:99999", "--cloud-tasks-project=p", "--cloud-tasks-location=l", "--task-handler-url=http://h/{task_id}", "--oidc-service-account-email=a@b.c"},
		`TASKS_QUEUES: "a b" is not a queue name: it takes names of 1 to 100`:                                             {"--tasks-queues=a b,c"},
		"TASKS_QUEUES is set but names nothing":                                                                           {"--tasks-queues=,"},
		`TASKS_QUEUES: queue "a_b" cannot be a Cloud Tasks queue`:                                                         {"--tasks-queues=a_b", "--tasks-mode=cloudtasks", "--cloud-tasks-project=p", "--cloud-tasks-location=l", "--task-handler-url=https://h/{task_id}", "--oidc-service-account-email=a@b.c"},
		"OIDC_AUDIENCE is set but names nothing":                                                                          {"--oidc-audience=,"},
		"OIDC_ALLOWED_EMAILS is set but names nothing":                                                                    {"--oidc-allowed-emails= , "},
		"IAP_AUDIENCE is set but names nothing":                                                                           {"--iap-audience=,"},
		`WEBHOOK_ALLOW_HOSTS: "http://x" is no host: it takes host names or addresses`:                                    {"--webhook-allow-hosts=a,http://x"},
		`WEBHOOK_ALLOW_HOSTS: "10.0.0.0/8" is no host`:                                                                    {"work", "--webhook-allow-hosts=10.0.0.0/8"},
		`WEBHOOK_ALLOW_HOSTS: "a:0" is no host`:                                                                           {"--webhook-allow-hosts=a:0"},
		"WEBHOOK_SECRET: must be whsec_":                                                                                  {"serve", "--webhook-secret=?"},
		"TASKS_NOTICE_URL must be an http or https URL":                                                                   {"serve", "--tasks-notice-url=ftp://x"},
		"TASKS_NOTICE_ADMIN_URL must be an http or https URL such as":                                                     {"serve", "--tasks-notice-url=https://x", "--tasks-notice-admin-url=/admin"},
		"TASKS_NOTICE_INTERVAL must be at least 1s, not 1ms":                                                              {"work", "--tasks-notice-url=https://x", "--tasks-notice-interval=1ms"},
		"TASKS_NOTICE_FAILURES must be at least 1, not 0":                                                                 {"sweep", "--tasks-notice-url=https://x", "--tasks-notice-failures=0"},
		`TASKS_NOTICE_QUEUE "default" is not in TASKS_QUEUES`:                                                             {"serve", "--tasks-notice-url=https://x", "--tasks-queues=emails"},
		"--tasks-notice-format must be one of":                                                                            {"serve", "--tasks-notice-format=xml"},
		"ADMIN_PROXY_PREFIX must begin with /":                                                                            {"serve", "--admin-proxy-prefix=ops"},
		"ADMIN_BRAND must be at most 40 characters, not 41":                                                               {"serve", "--admin-brand=" + strings.Repeat("x", 41)},
		"ADMIN_BRAND_URL must be an http or https URL, or a path":                                                         {"serve", "--admin-brand-url=javascript:x"},
		"WEBHOOK_SECRET: must be whsec":                                                                                   {"serve", "--webhook-secret=?", "--tasks-mode=cloudtasks", "--task-handler-url=https://h/{task_id}", "--cloud-tasks-project=p", "--cloud-tasks-location=l", "--oidc-service-account-email=a@b.c"},
		"OIDC_AUDIENCE is required":                                                                                       {"--oidc-allowed-emails=a@example.com"},
		"OIDC_ISSUER and OIDC_CERTS_URL are an emulator's":                                                                {"--oidc-issuer=http://x"},
		"CLOUD_SQL_INSTANCE needs DATABASE_URL":                                                                           {"migrate", "--cloud-sql-instance=a:b:c"},
		"CLOUD_SQL_INSTANCE and ALLOYDB_INSTANCE exclude each other":                                                      {"migrate", "--cloud-sql-instance=a:b:c", "--alloydb-instance=" + alloyInstance, "--database-url=postgres://u@/d"},
		"ALLOYDB_INSTANCE needs DATABASE_URL=postgres://":                                                                 {"migrate", "--alloydb-instance=" + alloyInstance, "--database-url=mysql://u@/d"},
		"ALLOYDB_INSTANCE: \"a:b:c\" is no AlloyDB instance":                                                              {"migrate", "--alloydb-instance=a:b:c", "--database-url=postgres://u@/d"},
		"ALLOYDB_IAM_AUTH needs ALLOYDB_INSTANCE":                                                                         {"migrate", "--alloydb-iam-auth", "--database-url=postgres://u@/d"},
		"--alloydb-address must be one of":                                                                                {"migrate", "--alloydb-address=vpc"},
		"ALLOYDB_IAM_AUTH: in DATABASE_URL the user of a service account is only a part of its e-mail: write run%40p.iam": {"migrate", "--alloydb-iam-auth", "--alloydb-instance=" + alloyInstance, "--database-url=postgres://run%40p.iam.gserviceaccount.com@/d"},
		"CLOUD_SQL_IAM_AUTH: in DATABASE_URL the user of a service account is only a part of its e-mail: write run (":     {"migrate", "--cloud-sql-iam-auth", "--cloud-sql-instance=a:b:c", "--database-url=mysql://run%40p.iam.gserviceaccount.com@/d"},
		"CLOUD_SQL_INSTANCE:":                                                                                             {"migrate", "--cloud-sql-instance=a", "--database-url=postgres://u@/d"},
	} {
		t.Run(want, func(t *testing.T) {
			status, stdout, stderr := newCLI(t).call("", args...)
			if status != 2 || !strings.HasPrefix(stderr, "server: ") || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 || stdout != "" {
				t.Errorf("%v: status %d\n%s%s", args, status, stdout, stderr)
			}
		})
	}
}

// A misspelt field of the arguments is reported, or refused with
// TASKS_STRICT_ARGS; in both cases its path and the likely name are shown.
func TestMisspeltArgumentFields(t *testing.T) {
	const want = "unknown field args.duration; did you mean duration_ms?"
	c := newCLI(t)
	status, stdout, stderr := c.call("", "enqueue", "demo.sleep", `{"duration":1}`)
	if status != 0 || len(strings.TrimSpace(stdout)) != 36 || !strings.HasPrefix(stderr, "server: warning: "+want) {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	status, stdout, stderr = c.call("", "enqueue", "demo.sleep", `{"duration":1}`, "--json")
	if status != 0 || !strings.Contains(stdout, `"warnings":["`+want+`"]`) || !strings.Contains(stderr, want) {
		t.Errorf("--json: status %d\n%s%s", status, stdout, stderr)
	}
	lines := `{"task":"demo.sleep","args":{"duration_ms":1}}` + "\n\n" + `{"task":"demo.sleep","args":{"duration":1}}` + "\n"
	status, stdout, stderr = c.call(lines, "enqueue", "-")
	if status != 0 || strings.Count(stdout, "\n") != 2 || !strings.HasPrefix(stderr, "server: warning: line 3: "+want) {
		t.Errorf("bulk: status %d\n%s%s", status, stdout, stderr)
	}
	c.env["TASKS_STRICT_ARGS"] = "true"
	status, stdout, stderr = c.call("", "enqueue", "demo.sleep", `{"duration":1}`)
	if status != 2 || stdout != "" || !strings.Contains(stderr, "args of demo.sleep: "+want) {
		t.Errorf("strict: status %d\n%s%s", status, stdout, stderr)
	}
}

const alloyInstance = "projects/p/locations/r/clusters/c/instances/i"
