package examples_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// site is the example, running.
type site struct {
	t       *testing.T
	command *exec.Cmd
	url     string
	ended   chan string // gets the rest of the log
}

func startEmbed(t *testing.T, program string) *site {
	t.Helper()
	s := &site{t: t, ended: make(chan string, 1)}
	s.command = exec.CommandContext(t.Context(), program)
	s.command.Dir = t.TempDir()
	s.command.Env = []string{"HOME=" + s.command.Dir, "DATABASE_URL=" + testdb.Postgres(t), "STAFF_PASSWORD=open sesame", "LISTEN=127.0.0.1:0"}
	log, err := s.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.command.Process.Kill(); _ = s.command.Wait() })
	ready, lines, seen := regexp.MustCompile(`msg=listening url=(http://\S+)`), bufio.NewScanner(log), ""
	for s.url == "" && lines.Scan() {
		seen += lines.Text() + "\n"
		if found := ready.FindStringSubmatch(lines.Text()); found != nil {
			s.url = found[1]
		}
	}
	if s.url == "" {
		t.Fatalf("the program does not listen:\n%s", seen)
	}
	go func() {
		for lines.Scan() {
			seen += lines.Text() + "\n"
		}
		s.ended <- seen
	}()
	return s
}

// ask sends a request, as staff if there is a password, and follows no redirect.
func (s *site) ask(method, path, password string, form url.Values) (status int, body string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if password != "" {
		r.SetBasicAuth("zoe", password)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// An existing program signs users up, each with the task of its mail or not at all,
// and mounts the tasks and the pages behind its own login.
func TestEmbed(t *testing.T) {
	program := outside(t, "embed")
	unset := exec.CommandContext(t.Context(), program)
	unset.Dir, unset.Env = t.TempDir(), []string{}
	if out, err := unset.CombinedOutput(); err == nil || !strings.Contains(string(out), "STAFF_PASSWORD is required") {
		t.Errorf("without settings: %v: %s", err, out)
	}
	s := startEmbed(t, program)
	for _, c := range []struct {
		email  string
		status int
	}{{"zoe@example.com", 303}, {"zoe@example.com", 409}, {"no-at-sign", 400}, {"max@example.com", 303}} {
		if status, body := s.ask("POST", "/sign-up", "", url.Values{"email": {c.email}}); status != c.status {
			t.Errorf("sign-up of %s: %d %s", c.email, status, body)
		}
	}
	const want = "zoe@example.com, welcomed: true\nmax@example.com, welcomed: true\n"
	tick, patience := time.NewTicker(20*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for users := ""; users != want; {
		select {
		case <-tick.C:
			_, users = s.ask("GET", "/", "", nil)
		case <-patience:
			t.Fatalf("users: %s", users)
		}
	}
	for _, c := range []struct {
		path, password string
		status         int
		want           string
	}{
		{"/tasks/status/", "", 401, "log in as staff"}, {"/tasks/status/", "wrong", 401, "log in as staff"},
		{"/tasks/status/", "open sesame", 200, `"successful_count":2,"failed_count":0`},
		{"/admin/", "", 401, "log in as staff"}, {"/admin/", "open sesame", 200, "claimcheck"},
		{"/admin/tasks", "open sesame", 200, "emails.send_welcome"},
	} {
		if status, body := s.ask("GET", c.path, c.password, nil); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d, want %d and %q\n%.300s", c.path, status, c.status, c.want, body)
		}
	}
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	log := <-s.ended
	if err := s.command.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
	if strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") {
		t.Errorf("log:\n%s", log)
	}
}
