package server

import (
	"cmp"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// settingSamples are values for settings that do not take any.
var settingSamples = map[string]any{
	"TasksNoticeFormat": "slack", "TasksNoticeFailures": 7,
	"TasksEncryption": "marked",
	"DatabaseURL":     "sqlite:other.db", "DBMaxConns": 7, "TasksMode": "pull", "AlloyDBAddress": "psc", "Metrics": "127.0.0.1:9464", "LogLevel": "warn", "LogFormat": "json",
}

// sampleOf returns a value of a field's type that is not its default.
func sampleOf(field reflect.StructField) reflect.Value {
	if sample, ok := settingSamples[field.Name]; ok {
		return reflect.ValueOf(sample)
	}
	switch reflect.Zero(field.Type).Interface().(type) {
	case string:
		return reflect.ValueOf("sample-of-" + strings.ToLower(field.Name))
	case bool:
		return reflect.ValueOf(true)
	case time.Duration:
		return reflect.ValueOf(7 * time.Second)
	case int64:
		return reflect.ValueOf(int64(4321))
	case []string:
		return reflect.ValueOf([]string{"one", "two"})
	case map[string][]string:
		return reflect.ValueOf(map[string][]string{"emails": {"a", "b"}})
	}
	panic("no sample for " + field.Name)
}

// effective returns what a Config and an environment make of the settings.
func effective(t *testing.T, cfg Config, env config.Environment) (Settings, error) {
	t.Helper()
	p := &program{own: cfg}
	if err := p.load(env); err != nil {
		return Settings{}, err
	}
	return fieldsOf(p.config.Settings), nil
}

// Each setting has a field of its name, which wins over its variable; left alone it
// leaves the variable in place. IgnoreEnv leaves the variable unread.
func TestEverySettingHasAField(t *testing.T) {
	t.Parallel()
	fields := reflect.VisibleFields(reflect.TypeFor[config.Settings]())
	if n := reflect.TypeFor[Settings]().NumField(); n != len(fields) {
		t.Errorf("Settings has %d fields for %d settings", n, len(fields))
	}
	defaults, err := effective(t, Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range fields {
		own, ok := reflect.TypeFor[Settings]().FieldByName(field.Name)
		if !ok {
			t.Errorf("Settings has no field %s", field.Name)
			continue
		}
		sample, variable := sampleOf(field), field.Tag.Get("env")
		want := sample
		if own.Type.Kind() == reflect.Pointer {
			want = reflect.New(sample.Type())
			want.Elem().Set(sample)
		}
		value := func(s Settings) any { return reflect.ValueOf(s).FieldByName(field.Name).Interface() }
		var set Config
		reflect.ValueOf(&set.Settings).Elem().FieldByName(field.Name).Set(want)
		text, err := settingText(sample.Interface())
		if err != nil {
			t.Fatal(err)
		}
		other := config.Environment{variable: "not a value of this setting"}
		if field.Type.Kind() == reflect.Bool {
			other[variable] = "false"
		}
		for name, c := range map[string]struct {
			cfg  Config
			env  config.Environment
			want any
		}{
			"field":              {set, nil, want.Interface()},
			"field and variable": {set, other, want.Interface()},
			"variable":           {Config{}, config.Environment{variable: text}, want.Interface()},
			"ignored variable":   {Config{IgnoreEnv: true}, config.Environment{variable: text}, value(defaults)},
		} {
			got, err := effective(t, c.cfg, c.env)
			if err != nil || !reflect.DeepEqual(value(got), c.want) {
				t.Errorf("%s by %s: %v, %v; want %v", field.Name, name, value(got), err, c.want)
			}
		}
	}
}

// A flag takes precedence over a field of Settings.
func TestAFlagWinsOverAField(t *testing.T) {
	t.Parallel()
	cfg := appConfig(t)
	cfg.Settings.TasksLease = time.Minute
	if status, _, stderr := runProgram(t, cfg, "serve", "--listen=127.0.0.1:0", "--tasks-lease=10ms"); status != 2 || !strings.Contains(stderr, "not 10ms (set by --tasks-lease)") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// A list or map that is empty and not nil clears a setting, whatever its variable is.
func TestAnEmptyListClearsASetting(t *testing.T) {
	t.Parallel()
	env := config.Environment{"TASKS_QUEUES": "only", "OIDC_AUDIENCE": "https://one", "TASKS_QUEUE_ALIASES": "emails=a"}
	got, err := effective(t, Config{Settings: Settings{
		TasksQueues: []string{}, OIDCAudience: []string{}, TasksQueueAliases: map[string][]string{},
	}}, env)
	if err != nil || len(got.TasksQueues) != 0 || len(got.OIDCAudience) != 0 || len(got.TasksQueueAliases) != 0 {
		t.Errorf("%q %q %q, %v", got.TasksQueues, got.OIDCAudience, got.TasksQueueAliases, err)
	}
	cfg := appConfig(t, testTasks...)
	cfg.Settings.TasksQueues = []string{}
	openApp(t, cfg)
	if status, _, stderr := runProgram(t, cfg, "enqueue", "demo.echo", "--queue=other", "--tasks-queues=only"); status == 0 {
		t.Errorf("a flag does not win over the empty list: %s", stderr)
	}
}

// A pointer to the zero value is not the same as none.
func TestZeroValuesThatMeanSomething(t *testing.T) {
	t.Parallel()
	off, never := false, time.Duration(0)
	env := config.Environment{"TASKS_SWEEP_INTERVAL": "10s", "DB_POOLER": "true"}
	got, err := effective(t, Config{Settings: Settings{DBPooler: &off, TasksSweepInterval: &never}}, env)
	if err != nil || *got.DBPooler || *got.TasksSweepInterval != 0 {
		t.Errorf("%v %v, %v", *got.DBPooler, *got.TasksSweepInterval, err)
	}
}

// A bad field is refused like its variable, and the error names the field.
func TestBadFieldsAreNamed(t *testing.T) {
	t.Parallel()
	for want, settings := range map[string]Settings{
		`TASKS_MODE must be one of "auto","local","cloudtasks","pull" but got "remote" (set by Config.Settings.TasksMode)`:         {TasksMode: "remote"},
		`TASKS_LEASE must be at least 1s, not 10ms (set by Config.Settings.TasksLease)`:                                            {TasksLease: 10 * time.Millisecond},
		`TASKS_LEASE: must be a duration such as 90s or 5m, or a number of seconds, not "-1s" (set by Config.Settings.TasksLease)`: {TasksLease: -time.Second},
		`ADMIN_TOKEN is blank: give it a value, or unset it (set by Config.Settings.AdminToken)`:                                   {AdminToken: " "},
		`Config.Settings.TasksQueues: "a,b" has a comma`:                                                                           {TasksQueues: []string{"a,b"}},
		`so unset them (OIDC_CERTS_URL is set by Config.Settings.OIDCCertsURL)`:                                                    {OIDCCertsURL: "https://h/certs"},
		`so unset them (set by Config.Settings.OIDCIssuer, OIDC_CERTS_URL is set by Config.Settings.OIDCCertsURL)`:                 {OIDCIssuer: "https://h", OIDCCertsURL: "https://h/certs"},
		`DATABASE_URL right? (DATABASE_URL is set by Config.Settings.DatabaseURL)`:                                                 {DatabaseURL: "postgres://u@127.0.0.1:1/x"},
	} {
		cfg := appConfig(t)
		settings.DatabaseURL = cmp.Or(settings.DatabaseURL, cfg.Settings.DatabaseURL)
		cfg.Settings = settings
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
