package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/oidc"
)

// load reads the settings from an environment alone.
func load(env Environment) (*Settings, *Sources, error) {
	var settings Settings
	sources := NewSources(nil, env)
	parser, err := kong.New(&settings, sources.Options()...)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := sources.Parse(parser)
	if err == nil {
		err = sources.CheckBlank(parsed)
	}
	return &settings, sources, err
}

// Two servers in one process have their own settings each: nothing reads or
// changes the environment of the process.
func TestTheGivenEnvironmentIsTheOnlyOne(t *testing.T) {
	t.Setenv("TASKS_LEASE", "11s")
	t.Setenv("TASKS_MODE", " not a mode ")
	before := os.Environ()
	for value, want := range map[string]time.Duration{"": 60 * time.Second, "90s\n": 90 * time.Second, "7": 7 * time.Second} {
		settings, _, err := load(Environment{"TASKS_LEASE": value})
		if err != nil || settings.TasksLease != want || settings.TasksMode != ModeAuto {
			t.Errorf("%q: %v, %v, %v", value, settings.TasksLease, settings.TasksMode, err)
		}
	}
	if !reflect.DeepEqual(os.Environ(), before) {
		t.Error("the environment of the process was changed")
	}
}

// No file of the package imports what gives access to the process.
func TestNothingHereReadsTheProcess(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // a file of this package
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") && strings.Contains(string(text), "\t\"os\"\n") {
			t.Errorf("%s imports os", file)
		}
	}
}

func TestProblemsOfVariablesNameThem(t *testing.T) {
	for variable, want := range map[string]string{
		"TASKS_LEASE=soon":     `TASKS_LEASE: must be a duration such as 90s or 5m, or a number of seconds, not "soon"`,
		"TASKS_MODE=Local":     `TASKS_MODE must be one of "auto","local","cloudtasks","pull" but got "Local"`,
		"DB_MAX_CONNS=many":    `DB_MAX_CONNS: must be a whole number from 2 to 10000, not "many"`,
		"TASKS_MAX_BODY=0":     `TASKS_MAX_BODY: must be a size from 1B to 1GiB such as 512KiB, not "0"`,
		"DB_POOLER=perhaps":    "DB_POOLER: ",
		"TASK_API_TOKEN=\r\n":  "TASK_API_TOKEN is blank: give it a value, or unset it",
		"METRICS=somewhere":    "METRICS: must be off, on, or HOST:PORT",
		"TASKS_QUEUE_ALIASES=": "",
	} {
		_, sources, err := load(ParseEnvironment([]string{variable}))
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", variable, err)
			}
			continue
		}
		var problem Problem
		if !errors.As(err, &problem) {
			t.Errorf("%s: %v is no Problem", variable, err)
			continue
		}
		name, _, _ := strings.Cut(variable, "=")
		if text := sources.Describe(err); problem.Setting != name || !strings.HasPrefix(text, want) {
			t.Errorf("%s: %q", variable, text)
		}
	}
}

// A flag of a command takes a negative number in an argument of its own, so that
// the command can say what it accepts.
func TestNegativeNumbersAreValues(t *testing.T) {
	var grammar struct {
		Settings
		Run struct {
			Limit  int
			Within time.Duration
			After  string
		} `cmd:""`
	}
	sources := NewSources([]string{"run", "--limit", "-5", "--after", "-2h", "--db-max-conns", "-1"}, nil)
	parser, err := kong.New(&grammar, sources.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sources.Parse(parser); err != nil || grammar.Run.Limit != -5 || grammar.Run.After != "-2h" || grammar.DBMaxConns != -1 {
		t.Errorf("%v, %+v", err, grammar.Run)
	}
	for _, args := range []string{"run --within -5", "run --after --limit"} {
		sources := NewSources(strings.Fields(args), nil)
		parser, err := kong.New(&grammar, sources.Options()...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sources.Parse(parser); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
}

// Errors of packages that name their fields become problems of settings.
func TestFieldsAreAttributedToSettings(t *testing.T) {
	_, tasks := cloudtasks.New(nil, cloudtasks.Config{Project: "p", HandlerURL: "ftp://x"})
	var got []string
	for _, problem := range Problems(FromFields(tasks)) {
		got = append(got, problem.Setting)
	}
	if want := []string{"CLOUD_TASKS_LOCATION", "TASK_HANDLER_URL", "OIDC_SERVICE_ACCOUNT_EMAIL"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, c := range []struct {
		config oidc.Config
		want   string
	}{
		{oidc.Config{Emails: []string{"a@b.c"}}, "OIDC_AUDIENCE is empty"},
		{oidc.Config{Audiences: []string{"x"}, Emails: []string{" a@b.c"}}, "OIDC_SERVICE_ACCOUNT_EMAIL holds"},
		{oidc.Config{Audiences: []string{"x"}, Emails: []string{"a@b.c"}, Issuer: "i"}, "OIDC_ISSUER and OIDC_CERTS_URL must be"},
	} {
		_, err := oidc.New(c.config)
		if text := FromFields(err).Error(); !strings.HasPrefix(text, c.want) {
			t.Errorf("%s, want %s", text, c.want)
		}
	}
	names := Names()
	for field, setting := range fieldSettings {
		found := false
		for _, name := range names {
			found = found || name == setting
		}
		if !found {
			t.Errorf("%s: there is no setting %s", field, setting)
		}
	}
}

func TestProblemsTakesApartWhatWasJoined(t *testing.T) {
	one, other := Problemf("A", "is wrong"), errors.New("a failure")
	got := Problems(errors.Join(one, nil, errors.Join(other)))
	if want := []Problem{{Setting: "A", Text: "is wrong"}, {Text: "a failure"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := Problems(nil); got != nil {
		t.Errorf("%+v", got)
	}
}

// Commands may have flags of the same name; a blank one is refused by name, and a
// variable of another command's flag does not matter.
func TestBlankFlagsOfCommandsThatShareTheirNames(t *testing.T) {
	var grammar struct {
		Settings
		Purge struct{ Task, Only string } `cmd:""`
		Retry struct {
			Task bool
			More string
		} `cmd:""`
	}
	for args, want := range map[string]string{
		"purge|--task=\t":             "--task is blank",
		"purge|--task| ":              "--task is blank",
		"retry|--task|--more=\n":      "--more is blank",
		"purge|--task|x|--only=\t":    "--only is blank",
		"retry|--task":                "",
		"retry|--database-url|\t":     "DATABASE_URL is blank",
		"purge|--task=x|--only|--":    "expected string",
		"retry|--more=x|--log-level=": "must be one of",
	} {
		sources := NewSources(strings.Split(args, "|"), Environment{"CLAIMCHECK_ONLY": map[bool]string{true: " "}[strings.HasPrefix(args, "retry")]})
		parser, err := kong.New(&grammar, sources.Options()...)
		if err != nil {
			t.Fatal(err)
		}
		command, err := sources.Parse(parser)
		if err == nil {
			err = sources.CheckBlank(command)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
