package config

import (
	"reflect"
	"time"

	"github.com/alecthomas/kong"
)

// Settings are the flags and variables that all commands share. A command uses,
// and requires, only those that it needs. [Sources.Options] has the parsers of
// their values.
type Settings struct {
	DatabaseURL string `env:"DATABASE_URL" group:"database" placeholder:"URL" help:"postgres://…, mysql://…, mariadb://…, sqlite:PATH or sqlite::memory:. Off Google Cloud the default is sqlite:claimcheck.db."`
	DBMaxConns  int    `env:"DB_MAX_CONNS" name:"db-max-conns" group:"database" default:"10" accepts:"from 2 to 10000" help:"Connections in the pool; one is kept for heartbeats and results."`
	DBPooler    bool   `env:"DB_POOLER" name:"db-pooler" group:"database" help:"A transaction pooler (PgBouncer) sits before the database: prepare no statements."`

	CloudSQLInstance  string `env:"CLOUD_SQL_INSTANCE" name:"cloud-sql-instance" group:"database" placeholder:"PROJECT:REGION:INSTANCE" help:"Dial through the Cloud SQL connector; DATABASE_URL then gives user and database."`
	CloudSQLIAMAuth   bool   `env:"CLOUD_SQL_IAM_AUTH" name:"cloud-sql-iam-auth" group:"database" help:"Log in to Cloud SQL with IAM instead of a password."`
	CloudSQLPrivateIP bool   `env:"CLOUD_SQL_PRIVATE_IP" name:"cloud-sql-private-ip" group:"database" help:"Dial the instance's private address."`

	AlloyDBInstance string `env:"ALLOYDB_INSTANCE" name:"alloydb-instance" group:"database" placeholder:"NAME" help:"Dial through the AlloyDB connector to projects/P/locations/R/clusters/C/instances/I; DATABASE_URL then gives user and database."`
	AlloyDBIAMAuth  bool   `env:"ALLOYDB_IAM_AUTH" name:"alloydb-iam-auth" group:"database" help:"Log in to AlloyDB with IAM instead of a password."`
	AlloyDBAddress  string `env:"ALLOYDB_ADDRESS" name:"alloydb-address" group:"database" enum:"private,public,psc" default:"private" help:"Address of the instance to dial: private, public or psc (Private Service Connect)."`

	TasksMode               string        `env:"TASKS_MODE" group:"tasks" enum:"auto,local,cloudtasks,pull" default:"auto" help:"auto, local (run in this process), cloudtasks, or pull (only store). auto is cloudtasks on Cloud Run and App Engine or with an emulator, else local."`
	TasksLease              time.Duration `env:"TASKS_LEASE" group:"tasks" default:"60s" help:"How long a claim holds without a heartbeat; at least 1s."`
	TasksSweepInterval      time.Duration `env:"TASKS_SWEEP_INTERVAL" group:"tasks" default:"30s" help:"How often local and worker modes sweep; 0 never."`
	TasksTimeout            time.Duration `env:"TASKS_TIMEOUT" group:"tasks" placeholder:"9m" help:"How long a task may run that sets no limit itself. Default: 9m in cloudtasks mode, else none."`
	TasksDispatchTimeout    time.Duration `env:"TASKS_DISPATCH_TIMEOUT" group:"tasks" default:"3s" help:"How long an enqueue may spend on creating the Cloud Task before it leaves that to the sweeper."`
	TasksBatchCreate        bool          `env:"TASKS_BATCH_CREATE" group:"tasks" help:"Create up to a hundred Cloud Tasks a call in bulk enqueues and sweeps (BatchCreateTasks). Not yet tried on the real service."`
	TasksMaxBody            int64         `env:"TASKS_MAX_BODY" type:"bytes" group:"tasks" default:"1MiB" help:"Largest request body, arguments included."`
	TasksStrictArgs         bool          `env:"TASKS_STRICT_ARGS" group:"tasks" help:"Refuse arguments with fields that the task's type does not have, instead of warning about them."`
	TasksKeepSuccessful     string        `env:"TASKS_KEEP_SUCCESSFUL" group:"tasks" placeholder:"24h" help:"How long tasks that succeeded or were cancelled are kept, unless they say so themselves. Default: until a purge."`
	TasksKeepFailed         string        `env:"TASKS_KEEP_FAILED" group:"tasks" placeholder:"720h" help:"The same for FAILED tasks; set both or neither."`
	TasksMaxBacklog         []string      `env:"TASKS_MAX_BACKLOG" group:"tasks" placeholder:"[QUEUE=]N" help:"How many READY tasks a queue may have; an enqueue beyond it is refused (429). A number without a name is for all other queues. Approximate."`
	TasksEncryptionKeys     string        `env:"TASKS_ENCRYPTION_KEYS" group:"tasks" placeholder:"SECRET" help:"Keys that encrypt arguments and return values, as the command keys new prints them; the first is for new tasks."`
	TasksEncryptionKeysFile string        `env:"TASKS_ENCRYPTION_KEYS_FILE" group:"tasks" placeholder:"PATH" help:"File with these keys, instead."`
	TasksEncryption         string        `env:"TASKS_ENCRYPTION" group:"tasks" enum:"all,marked" default:"all" help:"With keys: all encrypts all tasks but those that the code excludes, marked those that the code marks."`
	TasksQueues             []string      `env:"TASKS_QUEUES" group:"tasks" placeholder:"NAME" help:"Allow-list of queue names; empty allows all."`

	CloudTasksProject      string              `env:"CLOUD_TASKS_PROJECT" group:"cloud" placeholder:"PROJECT" help:"Project of the queues. Default: detected."`
	CloudTasksLocation     string              `env:"CLOUD_TASKS_LOCATION" group:"cloud" placeholder:"REGION" help:"Location of the queues. Default: detected."`
	TasksQueueAliases      map[string][]string `env:"TASKS_QUEUE_ALIASES" type:"aliases" group:"cloud" placeholder:"NAME=QUEUE,…" help:"Cloud Tasks queue for each queue name that differs; a name given several times is spread over its queues."`
	TaskHandlerURL         string              `env:"TASK_HANDLER_URL" group:"cloud" placeholder:"URL" help:"Full URL of the execute endpoint, with {task_id}. Default: detected."`
	TaskHandlerPath        string              `env:"TASK_HANDLER_PATH" group:"cloud" default:"/tasks/execute/{task_id}/" help:"Its path, with {task_id}."`
	CloudRunTag            string              `env:"CLOUD_RUN_TAG" group:"cloud" placeholder:"TAG" help:"Traffic tag put into the detected handler URL: tasks come back to the revision that has it. Its audience stays the service's."`
	AppEngineTarget        bool                `env:"APP_ENGINE_TARGET" group:"cloud" help:"On App Engine: deliver to this version and service instead of to a URL."`
	JobsName               string              `env:"JOBS_NAME" group:"cloud" placeholder:"JOB" help:"Cloud Run job, by its name or as projects/…/locations/…/jobs/…, that runs the tasks of the backend jobs."`
	RequestTimeout         time.Duration       `env:"REQUEST_TIMEOUT" group:"cloud" placeholder:"300s" help:"The platform's request timeout; run, purge and tasks without a limit of their own end before it. Default: 300s on Cloud Run."`
	CloudTasksEmulatorHost string              `env:"CLOUD_TASKS_EMULATOR_HOST" group:"cloud" placeholder:"HOST:PORT" help:"Emulator of Cloud Tasks, without credentials. Refused on Cloud Run and App Engine."`

	OIDCServiceAccountEmail string   `env:"OIDC_SERVICE_ACCOUNT_EMAIL" name:"oidc-service-account-email" group:"auth" placeholder:"EMAIL" help:"Account that Cloud Tasks signs as, and that may call. Default: detected on App Engine."`
	OIDCAudience            []string `env:"OIDC_AUDIENCE" name:"oidc-audience" group:"auth" placeholder:"URL" help:"Accepted audiences; the first goes into tokens. Default: scheme and host of the handler URL, without a traffic tag."`
	OIDCAllowedEmails       []string `env:"OIDC_ALLOWED_EMAILS" name:"oidc-allowed-emails" group:"auth" placeholder:"EMAIL" help:"Further accounts that may call."`
	OIDCTrustPlatform       bool     `env:"OIDC_TRUST_PLATFORM" name:"oidc-trust-platform" group:"auth" help:"Accept tokens whose signature Cloud Run's IAM removed. Unsafe on a public service; refused anywhere but on Cloud Run."`
	OIDCIssuer              string   `env:"OIDC_ISSUER" name:"oidc-issuer" group:"auth" placeholder:"URL" help:"Issuer of an emulator's tokens. Only with CLOUD_TASKS_EMULATOR_HOST."`
	OIDCCertsURL            string   `env:"OIDC_CERTS_URL" name:"oidc-certs-url" group:"auth" placeholder:"URL" help:"Keys of an emulator's tokens. Only with CLOUD_TASKS_EMULATOR_HOST."`
	TaskAPIToken            string   `env:"TASK_API_TOKEN" name:"task-api-token" group:"auth" placeholder:"SECRET" help:"Shared secret, accepted as Authorization: Bearer."`
	TaskHMACSecret          string   `env:"TASK_HMAC_SECRET" name:"task-hmac-secret" group:"auth" placeholder:"SECRET" help:"Shared secret of requests signed with X-Task-Signature and X-Task-Timestamp."`

	AdminToken         string   `env:"ADMIN_TOKEN" group:"admin" placeholder:"SECRET" help:"Who has it may log in to /admin/."`
	AdminReadonlyToken string   `env:"ADMIN_READONLY_TOKEN" group:"admin" placeholder:"SECRET" help:"Who has it may log in to /admin/, and change nothing."`
	IAPAudience        []string `env:"IAP_AUDIENCE" name:"iap-audience" group:"admin" placeholder:"AUDIENCE" help:"Let in whom Identity-Aware Proxy names in tokens for this audience, such as /projects/123/locations/europe-west1/services/admin."`
	AdminRedact        []string `env:"ADMIN_REDACT" group:"admin" placeholder:"TASK" help:"Tasks whose arguments and results the pages never show, and which filters by arguments and text never find."`

	AdminBrand    string `env:"ADMIN_BRAND" group:"admin" placeholder:"NAME" help:"Name that the pages bear in their titles and header. Default: claimcheck."`
	AdminBrandURL string `env:"ADMIN_BRAND_URL" name:"admin-brand-url" group:"admin" placeholder:"URL" help:"Where that name leads: a URL, or a path of this host. Default: to the overview."`

	AdminProxyPrefix     string `env:"ADMIN_PROXY_PREFIX" group:"admin" placeholder:"PATH" help:"What a proxy removes from the beginning of the path, such as /ops: links and cookies of the pages have it."`
	AdminForwardedPrefix bool   `env:"ADMIN_FORWARDED_PREFIX" group:"admin" help:"Take that from the proxy's header X-Forwarded-Prefix. Only if the proxy sets or removes it on every request."`

	WebhookSecret     string   `env:"WEBHOOK_SECRET" group:"webhook" placeholder:"whsec_…" help:"Signs what webhook.deliver sends, as Standard Webhooks says."`
	WebhookAllowHosts []string `env:"WEBHOOK_ALLOW_HOSTS" group:"webhook" placeholder:"HOST" help:"Hosts that webhook.deliver may reach though they are private or loopback."`

	TasksNoticeURL      string        `env:"TASKS_NOTICE_URL" name:"tasks-notice-url" group:"notices" placeholder:"SECRET-URL" help:"Where notices of problems are posted, such as an incoming webhook of Slack. Default: there are none."`
	TasksNoticeFormat   string        `env:"TASKS_NOTICE_FORMAT" group:"notices" enum:"auto,json,slack" default:"auto" help:"json, or slack. auto is slack for hooks.slack.com, else json."`
	TasksNoticeInterval time.Duration `env:"TASKS_NOTICE_INTERVAL" group:"notices" default:"5m" help:"Shortest time between two notices, and how long a problem has to be gone to be over; at least 1s."`
	TasksNoticeFailures int           `env:"TASKS_NOTICE_FAILURES" group:"notices" default:"20" accepts:"of at least 1" help:"How many tasks of one name must be FAILED for one reason within an hour to be a problem."`
	TasksNoticeQueue    string        `env:"TASKS_NOTICE_QUEUE" group:"notices" default:"default" placeholder:"NAME" help:"Queue of the task that delivers notices."`
	TasksNoticeAdminURL string        `env:"TASKS_NOTICE_ADMIN_URL" name:"tasks-notice-admin-url" group:"notices" placeholder:"URL" help:"Address of the pages for links, such as https://tasks.example.com/admin. Default: that of TASK_HANDLER_URL's host in cloudtasks mode."`

	Metrics       string `env:"METRICS" type:"metrics" group:"telemetry" default:"off" placeholder:"WHERE" help:"GET /metrics for Prometheus: off; on, for callers admitted to /tasks/*; or HOST:PORT, a listener of its own without authentication."`
	TraceDatabase bool   `env:"TRACE_DATABASE" group:"telemetry" help:"With traces (OTEL_EXPORTER_OTLP_ENDPOINT): spans for what a task's enqueue and run ask of the database."`

	LogLevel  string `env:"LOG_LEVEL" group:"log" enum:"debug,info,warn,error" default:"info" help:"debug, info, warn or error."`
	LogFormat string `env:"LOG_FORMAT" group:"log" enum:"auto,text,json" default:"auto" help:"auto, text or json (Cloud Logging fields). auto is json on Google Cloud."`
}

// groups are the headings of the help.
var groups = []kong.Group{
	{Key: "database", Title: "Database:"},
	{Key: "tasks", Title: "Tasks:"},
	{Key: "cloud", Title: "Cloud Tasks:"},
	{Key: "auth", Title: "Who may call /tasks/*:"},
	{Key: "admin", Title: "Who may open /admin/:"},
	{Key: "webhook", Title: "webhook.deliver:"},
	{Key: "notices", Title: "Notices of problems (signed and guarded as webhook.deliver is):"},
	{Key: "telemetry", Title: "Telemetry (OpenTelemetry's OTEL_* variables count too; nothing is exported unless one names an endpoint):"},
	{Key: "log", Title: "Log:"},
}

// Names returns the variables of all settings, in the order of [Settings].
func Names() []string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Settings]()) {
		names = append(names, field.Tag.Get("env"))
	}
	return names
}
