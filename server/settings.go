package server

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// Settings has one field for each setting of the server. The zero value of a field
// leaves the setting to the environment variable that the field names; pointers are
// for settings whose zero value means something. A list or map that is empty and not
// nil clears the setting, whatever the variable is. A string cannot do that: with
// [Config].IgnoreEnv no variable counts. docs/reference.md describes every setting.
type Settings struct {
	DatabaseURL string // DATABASE_URL: postgres://…, mysql://…, mariadb://…, sqlite:PATH or sqlite::memory:
	DBMaxConns  int    // DB_MAX_CONNS: connections in the pool, from 2 to 10000
	DBPooler    *bool  // DB_POOLER: a transaction pooler is in front of the database

	CloudSQLInstance  string // CLOUD_SQL_INSTANCE: project:region:instance
	CloudSQLIAMAuth   *bool  // CLOUD_SQL_IAM_AUTH
	CloudSQLPrivateIP *bool  // CLOUD_SQL_PRIVATE_IP
	AlloyDBInstance   string // ALLOYDB_INSTANCE: projects/P/locations/R/clusters/C/instances/I
	AlloyDBIAMAuth    *bool  // ALLOYDB_IAM_AUTH
	AlloyDBAddress    string // ALLOYDB_ADDRESS: private, public or psc

	TasksMode               string         // TASKS_MODE: auto, local, cloudtasks or pull
	TasksLease              time.Duration  // TASKS_LEASE: how long a claim holds without a heartbeat, at least 1s
	TasksSweepInterval      *time.Duration // TASKS_SWEEP_INTERVAL: how often local mode and workers sweep; 0 never
	TasksTimeout            *time.Duration // TASKS_TIMEOUT: how long a task may run that sets no limit itself; 0 is the default
	TasksDispatchTimeout    time.Duration  // TASKS_DISPATCH_TIMEOUT: how long an enqueue may spend on creating the Cloud Task
	TasksBatchCreate        *bool          // TASKS_BATCH_CREATE: create up to a hundred Cloud Tasks a call in bulk enqueues and sweeps
	TasksMaxBody            int64          // TASKS_MAX_BODY: bytes of the largest request body
	TasksStrictArgs         *bool          // TASKS_STRICT_ARGS: refuse arguments with unknown fields
	TasksKeepSuccessful     string         // TASKS_KEEP_SUCCESSFUL: how long tasks that succeeded or were cancelled are kept, such as 24h
	TasksKeepFailed         string         // TASKS_KEEP_FAILED: the same for FAILED tasks; both or neither
	TasksMaxBacklog         []string       // TASKS_MAX_BACKLOG: how many READY tasks a queue may have, such as emails=500, or 10000 for all others
	TasksEncryptionKeys     string         // TASKS_ENCRYPTION_KEYS: keys that encrypt arguments and return values
	TasksEncryptionKeysFile string         // TASKS_ENCRYPTION_KEYS_FILE: a file with these keys
	TasksEncryption         string         // TASKS_ENCRYPTION: all or marked
	TasksQueues             []string       // TASKS_QUEUES: allow-list of queue names

	CloudTasksProject      string              // CLOUD_TASKS_PROJECT
	CloudTasksLocation     string              // CLOUD_TASKS_LOCATION
	TasksQueueAliases      map[string][]string // TASKS_QUEUE_ALIASES: Cloud Tasks queues of a queue name
	TaskHandlerURL         string              // TASK_HANDLER_URL, with {task_id}
	TaskHandlerPath        string              // TASK_HANDLER_PATH, with {task_id}
	CloudRunTag            string              // CLOUD_RUN_TAG
	AppEngineTarget        *bool               // APP_ENGINE_TARGET
	JobsName               string              // JOBS_NAME: Cloud Run job of the backend jobs
	RequestTimeout         *time.Duration      // REQUEST_TIMEOUT: the platform's; 0 is the default
	CloudTasksEmulatorHost string              // CLOUD_TASKS_EMULATOR_HOST

	OIDCServiceAccountEmail string   // OIDC_SERVICE_ACCOUNT_EMAIL: account that signs deliveries
	OIDCAudience            []string // OIDC_AUDIENCE: the first goes into tokens
	OIDCAllowedEmails       []string // OIDC_ALLOWED_EMAILS: further accounts that may call
	OIDCTrustPlatform       *bool    // OIDC_TRUST_PLATFORM
	OIDCIssuer              string   // OIDC_ISSUER, of an emulator
	OIDCCertsURL            string   // OIDC_CERTS_URL, of an emulator
	TaskAPIToken            string   // TASK_API_TOKEN: bearer token of /tasks/*
	TaskHMACSecret          string   // TASK_HMAC_SECRET: secret of signed requests

	AdminToken         string   // ADMIN_TOKEN: password of /admin/
	AdminReadonlyToken string   // ADMIN_READONLY_TOKEN: password of /admin/, to look only
	IAPAudience        []string // IAP_AUDIENCE: of Identity-Aware Proxy's tokens
	AdminRedact        []string // ADMIN_REDACT: tasks whose arguments and results are hidden

	AdminBrand    string // ADMIN_BRAND: name that the pages bear
	AdminBrandURL string // ADMIN_BRAND_URL: where it leads

	AdminProxyPrefix     string // ADMIN_PROXY_PREFIX: what a proxy removes from the path, before /admin/
	AdminForwardedPrefix *bool  // ADMIN_FORWARDED_PREFIX: take that from X-Forwarded-Prefix

	WebhookSecret     string   // WEBHOOK_SECRET: signs what webhook.deliver sends
	WebhookAllowHosts []string // WEBHOOK_ALLOW_HOSTS: private hosts that webhook.deliver may reach

	TasksNoticeURL      string        // TASKS_NOTICE_URL: where notices of problems are posted
	TasksNoticeFormat   string        // TASKS_NOTICE_FORMAT: auto, json or slack
	TasksNoticeInterval time.Duration // TASKS_NOTICE_INTERVAL: shortest time between two notices
	TasksNoticeFailures int           // TASKS_NOTICE_FAILURES: FAILED tasks of one kind within an hour that are a problem
	TasksNoticeQueue    string        // TASKS_NOTICE_QUEUE: queue of the task that delivers notices
	TasksNoticeAdminURL string        // TASKS_NOTICE_ADMIN_URL: address of the pages, for links

	Metrics       string // METRICS: off, on, or HOST:PORT
	TraceDatabase *bool  // TRACE_DATABASE: spans for the database's part

	LogLevel  string // LOG_LEVEL: debug, info, warn or error
	LogFormat string // LOG_FORMAT: auto, text or json
}

// override sets the variables of the fields that are set, so that a field is parsed
// and checked like its variable. It returns the name of each field by its variable.
func (s Settings) override(env config.Environment) (fields map[string]string, err error) {
	fields = map[string]string{}
	of := reflect.ValueOf(s)
	for _, field := range reflect.VisibleFields(reflect.TypeFor[config.Settings]()) {
		value := of.FieldByName(field.Name)
		if value.IsZero() {
			continue
		}
		variable := field.Tag.Get("env")
		switch value.Kind() {
		case reflect.Pointer:
			value = value.Elem()
		case reflect.Slice, reflect.Map:
			if value.Len() == 0 {
				delete(env, variable)
				continue
			}
		}
		text, err := settingText(value.Interface())
		if err != nil {
			return nil, config.Problemf("", "Config.Settings.%s: %s", field.Name, err)
		}
		env[variable], fields[variable] = text, "Config.Settings."+field.Name
	}
	return fields, nil
}

// settingText writes a value as its variable has it.
func settingText(value any) (string, error) {
	switch v := value.(type) {
	case []string:
		return listText(v)
	case map[string][]string:
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			for _, id := range v[name] {
				pairs = append(pairs, name+"="+id)
			}
		}
		return listText(pairs)
	case int64:
		return strconv.FormatInt(v, 10), nil
	default:
		return fmt.Sprint(v), nil
	}
}

func listText(items []string) (string, error) {
	for _, item := range items {
		if strings.Contains(item, ",") {
			return "", fmt.Errorf("%.100q has a comma, which separates the items: make it several", item)
		}
	}
	if text := strings.Join(items, ","); text != "" {
		return text, nil
	}
	return ",", nil // set, and names nothing
}

// fieldsOf returns all settings as fields.
func fieldsOf(effective *config.Settings) Settings {
	var s Settings
	to := reflect.ValueOf(&s).Elem()
	from := reflect.ValueOf(effective).Elem()
	for _, field := range reflect.VisibleFields(from.Type()) {
		target, value := to.FieldByName(field.Name), from.FieldByIndex(field.Index)
		if list, ok := value.Interface().([]string); ok {
			value = reflect.ValueOf(config.NonEmpty(list))
		}
		if target.Kind() == reflect.Pointer {
			pointer := reflect.New(value.Type())
			pointer.Elem().Set(value)
			value = pointer
		}
		target.Set(value)
	}
	return s
}

// environment returns the variables that count: those of the process without the
// settings, if the program ignores these, and the fields of Config.Settings.
func (c Config) environment(process config.Environment) (env config.Environment, fields map[string]string, err error) {
	env = maps.Clone(process)
	if env == nil {
		env = config.Environment{}
	}
	if c.IgnoreEnv {
		settings := config.Names()
		maps.DeleteFunc(env, func(name, _ string) bool {
			return slices.Contains(settings, name) || strings.HasPrefix(name, "CLAIMCHECK_") || strings.HasPrefix(name, "OTEL_")
		})
	}
	fields, err = c.Settings.override(env)
	return env, fields, err
}
