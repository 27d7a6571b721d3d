package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// pageLanguage is how the programs of docs/http.md in one language are run.
type pageLanguage struct {
	fence, program, client, usage string
	prints                        *regexp.Regexp // a statement that prints, and what it prints
	authorize                     *regexp.Regexp // the function that the page shows another one for
}

var pageLanguages = map[string]pageLanguage{
	"Python": {"python", "python3", "claimcheck.py", "usage.py", regexp.MustCompile(`(?m)^ *print\(.*  # (.*)$`), regexp.MustCompile(`(?ms)^def authorize\(\):\n.*?\n\n`)},
	"Node":   {"js", "node", "claimcheck.mjs", "usage.mjs", regexp.MustCompile(`(?m)^ *console\.log\(.*; // (.*)$`), regexp.MustCompile(`(?ms)^async function authorize\(\) \{\n.*?^\}\n`)},
}

// pageBlocks returns the blocks of code of a section of docs/http.md. A comment before
// a block is its key; those without one are numbered.
func pageBlocks(t *testing.T, section, fence string) map[string]string {
	t.Helper()
	blocks := map[string]string{}
	for i, match := range regexp.MustCompile("(?ms)^(?:<!-- ([^\n]*) -->\n)?```"+fence+"\n(.*?)^```$").FindAllStringSubmatch(sectionOf(t, "docs/http.md", section), -1) {
		key := match[1]
		if key == "" {
			key = fmt.Sprint(i)
		}
		blocks[key] = match[2]
	}
	if len(blocks) == 0 {
		t.Fatalf("docs/http.md, %s, has no block of %s", section, fence)
	}
	return blocks
}

// lossy is a proxy before a server. It loses the first answer to each enqueue and
// cancel, answers one of them with 503, and checks all others with openapi.json.
type lossy struct {
	*httptest.Server
	t      *testing.T
	server string
	router routers.Router
	once   string // the body of a request that is not repeated, and so not lost

	mu      sync.Mutex
	seen    map[string]int
	refused bool
}

func newLossy(t *testing.T, server string) *lossy {
	t.Helper()
	text, err := os.ReadFile("httpapi/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{t: t, server: server, seen: map[string]int{}}
	if l.router, err = gorillamux.NewRouter(document); err != nil {
		t.Fatal(err)
	}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

// fault says what happens to a request: it is "lost", "refused" or neither.
func (l *lossy) fault(r *http.Request, body []byte) string {
	if r.Method != http.MethodPost || string(body) == l.once {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	request := r.URL.Path + string(body)
	l.seen[request]++
	switch {
	case l.seen[request] == 1:
		return "lost"
	case !l.refused:
		l.refused = true
		return "refused"
	}
	return ""
}

func (l *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		l.t.Error(err)
	}
	fault := l.fault(r, body)
	if fault == "refused" {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "from something before the server", http.StatusServiceUnavailable)
		return
	}
	request, err := http.NewRequestWithContext(r.Context(), r.Method, l.server+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		l.t.Error(err)
		return
	}
	request.Header = r.Header.Clone()
	response, err := procClient.Do(request)
	if err != nil {
		l.t.Error(err)
		return
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Error(err)
	}
	l.check(request, body, response, text)
	if fault == "lost" {
		panic(http.ErrAbortHandler) // closes the connection
	}
	if after := response.Header.Get("Retry-After"); after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(text)
}

// check compares a request and its answer with the document.
func (l *lossy) check(r *http.Request, body []byte, response *http.Response, text []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json") // curl's default is another one
	}
	route, parameters, err := l.router.FindRoute(r)
	if err != nil {
		l.t.Errorf("%s %s is not in openapi.json: %v", r.Method, r.URL, err)
		return
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
		l.t.Errorf("%s %s %s: %v", r.Method, r.URL, body, err)
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: response.StatusCode, Header: response.Header, Options: input.Options, Body: io.NopCloser(bytes.NewReader(text)),
	}
	if err := openapi3filter.ValidateResponse(r.Context(), answer); err != nil {
		l.t.Errorf("the answer %d %s to %s %s: %v", response.StatusCode, text, r.Method, r.URL, err)
	}
}

// stored is the number of tasks in the server's database.
func (s *procServer) stored() int {
	s.t.Helper()
	count := 0
	for _, match := range regexp.MustCompile(`_count":(\d+)`).FindAllStringSubmatch(s.do(http.MethodGet, "/tasks/status/", "").text, -1) {
		var n int
		if _, err := fmt.Sscan(match[1], &n); err != nil {
			s.t.Fatal(err)
		}
		count += n
	}
	return count
}

// runPage runs a program of the page in a directory and returns what it printed.
func runPage(t *testing.T, dir string, env []string, program string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: make deps", program)
	}
	command := exec.CommandContext(t.Context(), path, args...)
	command.Dir, command.Env = dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", program, args, err, stdout, &stderr)
	}
	return string(stdout)
}

// run runs a program that uses the client, which must print what its comments say.
func (l pageLanguage) run(t *testing.T, client, usage string, env ...string) {
	t.Helper()
	dir := t.TempDir()
	for name, code := range map[string]string{l.client: client, l.usage: usage} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var want strings.Builder
	for _, match := range l.prints.FindAllStringSubmatch(usage, -1) {
		want.WriteString(match[1] + "\n")
	}
	if got := runPage(t, dir, env, l.program, l.usage); want.Len() == 0 || got != want.String() {
		t.Errorf("printed\n%s\nand the page says\n%s", got, &want)
	}
}

// The clients of docs/http.md store each task once, although every first answer is lost.
func TestThePagesClientsStoreEachTaskOnce(t *testing.T) {
	t.Parallel()
	for name, language := range pageLanguages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := procServe(t, t.TempDir(), []string{"TASKS_MODE=local", procToken})
			env := []string{"QUEUE_URL=" + newLossy(t, s.url).URL, "QUEUE_TOKEN=" + s.token}
			blocks := pageBlocks(t, name, language.fence)
			language.run(t, blocks[language.client], blocks["1"], env...)
			if n := s.stored(); n != 4 {
				t.Errorf("%d tasks are stored, want 4", n)
			}
			language.run(t, blocks[language.client], pageBlocks(t, "Many tasks", language.fence)["0"], env...)
			if n := s.stored(); n != 44 {
				t.Errorf("%d tasks are stored, want 44", n)
			}
		})
	}
}

func TestThePagesCurlCommandsStoreEachTaskOnce(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), []string{"TASKS_MODE=local", procToken})
	front := newLossy(t, s.url)
	front.once = `{"task":"demo.echo","args":{"hello":"world"}}`
	dir, env := t.TempDir(), []string{"QUEUE_URL=" + front.URL, "QUEUE_TOKEN=" + s.token}
	var script, lines strings.Builder
	blocks := pageBlocks(t, "curl", "sh")
	for i := range len(blocks) {
		script.WriteString(blocks[fmt.Sprint(i)] + "echo\n")
	}
	for i := range 20 {
		fmt.Fprintf(&lines, `{"task":"demo.echo","args":"it's \"%d\"","unique_key":"line-%d","unique_for":"kept"}`+"\n", i, i)
	}
	if err := os.WriteFile(filepath.Join(dir, "tasks.jsonl"), []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	output := runPage(t, dir, env, "bash", "-euo", "pipefail", "-c", script.String()+pageBlocks(t, "Many tasks", "sh")["0"])
	for _, want := range []string{`"status":"SUCCESSFUL"`, `"return_value":{"hello":"world"}`, `"status":"CANCELLED"`, `"existed":true`, "\n400\n", `{"error":"`, `"unique_key":"line-19"`} {
		if !strings.Contains(output, want) {
			t.Errorf("the output lacks %s:\n%s", want, output)
		}
	}
	if n := s.stored(); n != 24 {
		t.Errorf("%d tasks are stored, want 24", n)
	}
}

// With the page's other authorize the clients authenticate with identity tokens of
// the metadata server, and Cloud Tasks delivers their tasks.
func TestThePagesProgramsAuthenticateWithIdentityTokens(t *testing.T) {
	t.Parallel()
	const caller = "caller@proc.iam.gserviceaccount.com"
	c := procNewCloud(t)
	c.serve(t.TempDir(), c.env("OIDC_ALLOWED_EMAILS="+caller))
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/identity" || r.Header.Get("Metadata-Flavor") != "Google" || r.FormValue("format") != "full" {
			http.NotFound(w, r)
			return
		}
		token, err := c.Token(caller, r.FormValue("audience"))
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, token)
	}))
	t.Cleanup(metadata.Close)
	env := []string{"QUEUE_URL=" + c.front.URL, "GCE_METADATA_HOST=" + strings.TrimPrefix(metadata.URL, "http://")}
	for name, language := range pageLanguages {
		blocks := pageBlocks(t, name, language.fence)
		other := pageBlocks(t, "Authentication", language.fence)[language.client+" authorize"]
		client := language.authorize.ReplaceAllLiteralString(blocks[language.client], other+"\n")
		if other == "" || client == blocks[language.client] {
			t.Fatalf("%s: the page shows no other authorize", name)
		}
		// The keys of one language are not held for the next one.
		language.run(t, client, strings.ReplaceAll(blocks["1"], "order-1042", "order-"+name), env...)
	}
	token := pageBlocks(t, "Authentication", "sh")["1"]
	output := runPage(t, t.TempDir(), env, "bash", "-euo", "pipefail", "-c", token+pageBlocks(t, "curl", "sh")["0"])
	if !strings.Contains(output, `"task_path":"demo.echo"`) {
		t.Error(output)
	}
}

// A shell that has the page's variables may also run the server's commands, which warn
// about variables that look like settings.
func TestThePagesVariablesAreNotTakenForSettings(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	var env []string
	for _, match := range regexp.MustCompile(`(?:process\.env\.|os\.environ\["|export |=\S+ )([A-Z_]+)`).FindAllStringSubmatch(string(page), -1) {
		env = append(env, match[1]+"=x")
	}
	if len(env) < 6 {
		t.Fatalf("the page has the variables %q", env)
	}
	if got := procRun(t, t.TempDir(), env, "", "version"); got.status != 0 || got.stderr != "" {
		t.Errorf("with %q: %+v", env, got)
	}
}
