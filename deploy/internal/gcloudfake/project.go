package gcloudfake

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Variables that the program gcloud of this package reads.
const (
	EnvDir   = "FAKE_GCLOUD"       // the directory of the state
	EnvFail  = "FAKE_GCLOUD_FAIL"  // a command that contains this text is refused
	EnvToken = "FAKE_GCLOUD_TOKEN" //nolint:gosec // the name of a variable, with the access token
	EnvPath  = "FAKE_GCLOUD_PATH"  // the PATH with a real gcloud that knows what the record refuses
)

// Project is a Google Cloud project as the scripts see it through gcloud: list and
// describe find what create and add have made. A file keeps it, because each call of
// gcloud is a process.
type Project struct {
	Calls     [][]string          // the arguments of each call
	Refused   []string            // what the grammar refused
	Resources map[string][]string // kind to names
	Policies  map[string][]string // kind and name to "ROLE MEMBER " lines
	Described map[string]string   // kind, name and format to what describe prints
	Secrets   map[string]string   // name to its version
	Files     []string            // contents of the files that calls named
}

// Load reads the project of a directory; there may be none yet.
func Load(dir string) (Project, error) {
	p := Project{Resources: map[string][]string{}, Policies: map[string][]string{}, Described: map[string]string{}, Secrets: map[string]string{}}
	text, err := os.ReadFile(filepath.Join(dir, "state.json")) //nolint:gosec // the test's own directory
	if os.IsNotExist(err) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(text, &p)
}

// Store writes the project.
func (p Project) Store(dir string) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "state.json"), text, 0o600) //nolint:gosec // the test's own directory
}

// Main is the program gcloud: it answers one call and returns the exit status.
func Main(args []string) int {
	dir := os.Getenv(EnvDir)
	p, err := Load(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the stand-in for gcloud has no state:", err)
		return 3
	}
	p.Calls = append(p.Calls, args)
	lines, status, err := p.run(args)
	if storeErr := p.Store(dir); storeErr != nil {
		fmt.Fprintln(os.Stderr, "the stand-in for gcloud cannot keep its state:", storeErr)
		return 3
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		return status
	}
	for _, line := range lines {
		fmt.Println(line)
	}
	return 0
}

func (p *Project) run(args []string) (lines []string, status int, err error) {
	g, err := grammar(args)
	if err != nil {
		return nil, 3, err
	}
	call, err := g.Parse(args)
	if err != nil {
		p.Refused = append(p.Refused, err.Error())
		return nil, 2, err
	}
	if fail := os.Getenv(EnvFail); fail != "" && strings.Contains(strings.Join(args, " "), fail) {
		return nil, 1, fmt.Errorf("(gcloud) PERMISSION_DENIED: the caller does not have permission")
	}
	lines, err = p.answer(call)
	return lines, 1, err
}

// grammar returns the recorded grammar, or that of a real gcloud for a command that the
// record refuses.
func grammar(args []string) (Grammar, error) {
	recorded, err := Recorded()
	if err != nil {
		return Grammar{}, err
	}
	path := os.Getenv(EnvPath)
	if _, err := recorded.Parse(args); err == nil || path == "" {
		return recorded, nil //nolint:nilerr // the caller parses again
	}
	if err := os.Setenv("PATH", path); err != nil {
		return Grammar{}, err
	}
	gcloud, err := FindReal()
	if err != nil {
		return Grammar{}, err
	}
	answers, err := gcloud.Parse(context.Background(), os.Getenv(EnvDir), [][]string{args})
	if err != nil {
		return Grammar{}, err
	}
	return gcloud.Grammar(answers), nil
}

// kinds are the kinds of commands whose words differ from those that list them.
var kinds = map[string]string{"run": "run services", "scheduler jobs create http": "scheduler jobs"}

// target splits a command into the kind of resource and the verb.
func target(call Call) (kind, verb, name string) {
	words := strings.Fields(strings.TrimSuffix(call.Command, " http"))
	kind, verb = strings.Join(words[:len(words)-1], " "), words[len(words)-1]
	if other, ok := kinds[kind]; ok {
		kind = other
	}
	if len(call.Positionals) > 0 {
		name = strings.TrimPrefix(call.Positionals[len(call.Positionals)-1], "gs://")
	}
	return kind, verb, name
}

func (p *Project) answer(call Call) ([]string, error) {
	kind, verb, name := target(call)
	for _, flag := range []string{"--flags-file", "--policy-from-file", "--config-from-file"} {
		if path := call.Flags[flag]; path != "" {
			if err := p.readFile(path); err != nil {
				return nil, err
			}
		}
	}
	switch verb {
	case "enable":
		p.Resources[kind] = append(p.Resources[kind], call.Positionals...)
	case "create", "deploy":
		return nil, p.create(call, kind, verb, name)
	case "update":
		p.describe(call, kind, name)
	case "add":
		value, err := io.ReadAll(os.Stdin)
		p.Secrets[name] = string(value)
		return nil, err
	case "replace":
		return nil, p.readFile(call.Positionals[0])
	case "add-iam-policy-binding":
		p.Policies[kind+" "+name] = append(p.Policies[kind+" "+name], call.Flags["--role"]+" "+call.Flags["--member"]+" ")
	case "get-iam-policy":
		return p.Policies[kind+" "+name], nil
	case "describe":
		if kind == "projects" {
			return []string{"123456789"}, nil
		}
		return strings.Split(p.Described[kind+" "+name+" "+call.Flags["--format"]], "\n"), nil
	case "list":
		if kind == "secrets versions" {
			if _, ok := p.Secrets[name]; ok {
				return []string{"1"}, nil
			}
			return nil, nil
		}
		return p.Resources[kind], nil
	case "print-access-token":
		return []string{os.Getenv(EnvToken)}, nil
	}
	return nil, nil
}

func (p *Project) create(call Call, kind, verb, name string) error {
	listed := name
	switch kind {
	case "iam service-accounts":
		listed += "@" + call.Flags["--project"] + ".iam.gserviceaccount.com"
	case "alpha monitoring policies", "monitoring dashboards":
		listed = displayName(p.Files[len(p.Files)-1])
	}
	exists := slices.Contains(p.Resources[kind], listed)
	if exists && verb == "create" {
		return fmt.Errorf("(gcloud) ALREADY_EXISTS: %s %s", kind, listed)
	}
	if !exists {
		p.Resources[kind] = append(p.Resources[kind], listed)
	}
	p.describe(call, kind, name)
	return nil
}

func displayName(text string) string {
	var named struct{ DisplayName string }
	if err := json.Unmarshal([]byte(text), &named); err != nil {
		return err.Error()
	}
	return named.DisplayName
}

// RetryFormat is how the scripts ask for the retry settings of a queue.
const RetryFormat = `value[separator=","](retryConfig.maxAttempts,retryConfig.minBackoff,retryConfig.maxBackoff,retryConfig.maxDoublings,retryConfig.maxRetryDuration)`

// describe keeps the settings of a resource that the scripts ask for.
func (p *Project) describe(call Call, kind, name string) {
	switch kind {
	case "scheduler jobs":
		p.Described[kind+" "+name+" value(httpTarget.body)"] = base64.StdEncoding.EncodeToString([]byte(call.Flags["--message-body"]))
	case "tasks queues":
		limit := strings.TrimPrefix(call.Flags["--max-retry-duration"], "0s") // gcloud does not show an unlimited duration
		p.Described[kind+" "+name+" "+RetryFormat] = strings.Join([]string{call.Flags["--max-attempts"], call.Flags["--min-backoff"],
			call.Flags["--max-backoff"], call.Flags["--max-doublings"], limit}, ",")
	}
}

func (p *Project) readFile(path string) error {
	text, err := os.ReadFile(path) //nolint:gosec // the file that the call names
	p.Files = append(p.Files, string(text))
	return err
}
