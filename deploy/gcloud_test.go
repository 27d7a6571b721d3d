package deploy_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeProject is a Google Cloud project as far as the scripts see it through
// gcloud: what create and add put there, list and describe find.
type fakeProject struct {
	t    *testing.T
	dir  string
	fail string // a call that has this in it is refused
}

// fakeState is kept in a file, since each call of gcloud is a process.
type fakeState struct {
	Calls    []string            // each call's words
	Things   map[string][]string // kind to names
	Settings map[string]string   // of queues
	Secrets  map[string]string   // name to its version
	Files    []string            // what files given to gcloud held
}

func newProject(t *testing.T) *fakeProject {
	t.Helper()
	p := &fakeProject{t: t, dir: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(p.dir, "gcloud")); err != nil {
		t.Fatal(err)
	}
	p.store(fakeState{})
	return p
}

// run runs a script to which this is gcloud.
func (p *fakeProject) run(env []string, script string, args ...string) result {
	p.t.Helper()
	return run(p.t, append([]string{
		"GORACE=atexit_sleep_ms=0", // the race detector would have each call wait for a second
		"PATH=" + p.dir + ":" + os.Getenv("PATH"), "FAKE_GCLOUD=" + p.dir, "FAKE_GCLOUD_FAIL=" + p.fail, "SETUP_PAUSE=0",
	}, env...), script, args...)
}

func (p *fakeProject) state() fakeState { return loadState(p.dir) }

func (p *fakeProject) store(s fakeState) { storeState(p.dir, s) }

// changes are the calls that change something.
func (p *fakeProject) changes() []string {
	return slices.DeleteFunc(p.state().Calls, func(call string) bool {
		for _, word := range strings.Fields(call) {
			switch word {
			case "list", "describe", "get-iam-policy", "print-identity-token":
				return true
			}
		}
		return false
	})
}

func loadState(dir string) fakeState {
	text, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		panic(err)
	}
	var s fakeState
	if err := json.Unmarshal(text, &s); err != nil {
		panic(err)
	}
	for _, m := range []*map[string]string{&s.Settings, &s.Secrets} {
		if *m == nil {
			*m = map[string]string{}
		}
	}
	if s.Things == nil {
		s.Things = map[string][]string{}
	}
	return s
}

func storeState(dir string, s fakeState) {
	text, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "state.json"), text, 0o600)
	}
	if err != nil {
		panic(err)
	}
}

// fakeGcloud is gcloud: one call, its answer, and the exit status.
func fakeGcloud(args []string) int {
	dir := os.Getenv("FAKE_GCLOUD")
	s := loadState(dir)
	call := strings.Join(args, " ")
	s.Calls = append(s.Calls, call)
	defer func() { storeState(dir, s) }()
	if fail := os.Getenv("FAKE_GCLOUD_FAIL"); fail != "" && strings.Contains(call, fail) {
		fmt.Fprintln(os.Stderr, "ERROR: (gcloud) PERMISSION_DENIED: the caller does not have permission")
		return 1
	}
	answer, err := s.answer(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ERROR: (gcloud)", err)
		return 1
	}
	for _, line := range answer {
		fmt.Println(line)
	}
	return 0
}

// verbs end the part of a command that says what kind of thing it is about.
var verbs = []string{
	"list", "describe", "create", "enable", "update", "add", "deploy", "replace", "set-password", "update-traffic",
	"add-iam-policy-binding", "get-iam-policy", "print-identity-token",
}

func (s *fakeState) answer(args []string) ([]string, error) {
	var words []string
	flags := map[string]string{}
	for _, arg := range args {
		if name, value, _ := strings.Cut(arg, "="); strings.HasPrefix(arg, "--") {
			flags[name] = value
		} else {
			words = append(words, arg)
		}
	}
	at := slices.IndexFunc(words, func(w string) bool { return slices.Contains(verbs, w) })
	if at < 0 {
		return nil, fmt.Errorf("no verb in %v", words)
	}
	if path := flags["--flags-file"]; path != "" {
		s.readFile(path)
	}
	kind, verb, names := strings.Join(words[:at], " "), words[at], words[at+1:]
	binding := func(text string) string { return "policy of " + kind + " " + names[0] + " " + text }
	switch verb {
	case "enable":
		s.Things[kind] = append(s.Things[kind], names...)
	case "create", "deploy":
		name := strings.TrimPrefix(names[len(names)-1], "gs://")
		switch kind {
		case "iam service-accounts":
			name += "@" + flags["--project"] + ".iam.gserviceaccount.com"
		case "run":
			kind = "run services"
		}
		if verb == "create" && slices.Contains(s.Things[kind], name) {
			return nil, fmt.Errorf("ALREADY_EXISTS: %s %s", kind, name)
		}
		s.Things[kind] = append(s.Things[kind], name)
		s.Settings[kind+" "+name] = described(kind, flags)
	case "update":
		s.Settings[kind+" "+names[len(names)-1]] = described(kind, flags)
	case "add":
		value, err := io.ReadAll(os.Stdin)
		s.Secrets[names[0]] = string(value)
		return nil, err
	case "replace":
		s.readFile(names[0])
	case "add-iam-policy-binding":
		s.Things[binding(flags["--member"])] = append(s.Things[binding(flags["--member"])], flags["--role"])
	case "get-iam-policy":
		member, role, _ := strings.Cut(strings.TrimPrefix(flags["--filter"], "bindings.members="), " AND bindings.role=")
		if slices.Contains(s.Things[binding(member)], role) {
			return []string{role}, nil
		}
	case "describe":
		if kind == "projects" {
			return []string{"123456789"}, nil
		}
		return strings.Split(s.Settings[kind+" "+names[0]], "\n"), nil
	case "list":
		if kind == "secrets versions" {
			if _, ok := s.Secrets[names[0]]; ok {
				return []string{"1"}, nil
			}
			return nil, nil
		}
		return s.Things[kind], nil
	case "print-identity-token":
		return []string{os.Getenv("FAKE_TOKEN")}, nil
	}
	return nil, nil
}

// described is what is shown of a thing, as far as it is asked for.
func described(kind string, flags map[string]string) string {
	if kind == "scheduler jobs" {
		return base64.StdEncoding.EncodeToString([]byte(flags["--message-body"]))
	}
	limit := strings.TrimPrefix(flags["--max-retry-duration"], "0s") // none is not shown
	return strings.Join([]string{flags["--max-attempts"], flags["--min-backoff"], flags["--max-backoff"], flags["--max-doublings"], limit}, ",")
}

func (s *fakeState) readFile(path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	s.Files = append(s.Files, string(text))
}
