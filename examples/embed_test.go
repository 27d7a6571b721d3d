package examples_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// site is the example, running.
type site struct {
	t       *testing.T
	command *exec.Cmd
	url     string
	ended   chan string // gets the rest of the log
}

func startEmbed(t *testing.T, program, databaseURL string) *site {
	t.Helper()
	s := &site{t: t, ended: make(chan string, 1)}
	s.command = exec.CommandContext(t.Context(), program)
	s.command.Dir = t.TempDir()
	s.command.Env = []string{"HOME=" + s.command.Dir, "DATABASE_URL=" + databaseURL, "STAFF_PASSWORD=open sesame", "LISTEN=127.0.0.1:0"}
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

// stop ends the program as a platform does, and returns its log.
func (s *site) stop() string {
	s.t.Helper()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	log := <-s.ended
	if err := s.command.Wait(); err != nil {
		s.t.Errorf("%v\n%s", err, log)
	}
	return log
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
	s := startEmbed(t, program, testdb.Postgres(t))
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
		{"/staff/tasks/", "", 401, "Log in first"}, {"/staff/tasks/", "open sesame", 200, `href="/staff/tasks/queues"`},
		{"/staff/tasks/tasks", "open sesame", 200, "emails.send_welcome"}, {"/admin/", "open sesame", 404, ""},
		{"/health/live", "", 200, ""}, {"/health/ready", "", 200, ""},
	} {
		if status, body := s.ask("GET", c.path, c.password, nil); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d, want %d and %q\n%.300s", c.path, status, c.status, c.want, body)
		}
	}
	log := s.stop()
	problems := regexp.MustCompile(`level=(WARN|ERROR) .*`).FindAllString(log, -1)
	if len(problems) != 1 || !strings.Contains(problems[0], `msg="request refused" route=/tasks/status/ status=401`) {
		t.Errorf("want the wrong password in the log, and no other problem:\n%s", log)
	}
}

// The program refuses to start with settings that cannot work, and says what to set.
func TestEmbedRefusesToStart(t *testing.T) {
	program := outside(t, "embed")
	database := testdb.Postgres(t)
	at, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"no login": {nil, "STAFF_PASSWORD is required"},
		"only the variables of libpq": {
			[]string{"STAFF_PASSWORD=x", "PGHOST=" + at.Host, "PGPORT=" + strconv.Itoa(int(at.Port)), "PGUSER=" + at.User, "PGPASSWORD=" + at.Password, "PGDATABASE=" + at.Database},
			"this program needs PostgreSQL: set DATABASE_URL=postgres://",
		},
		"another database": {[]string{"STAFF_PASSWORD=x", "DATABASE_URL=sqlite:shop.db"}, "this program needs PostgreSQL: set DATABASE_URL=postgres://"},
		// Impossible, so that nothing listens on every address of the machine.
		"the platform's port": {[]string{"STAFF_PASSWORD=x", "DATABASE_URL=" + database, "PORT=99999"}, "address 99999: invalid port"},
	} {
		t.Run(name, func(t *testing.T) {
			run := exec.CommandContext(t.Context(), program)
			run.Dir, run.Env = t.TempDir(), c.env
			if out, err := run.CombinedOutput(); err == nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%v, want %q:\n%s", err, c.want, out)
			}
			if files, err := os.ReadDir(run.Dir); err != nil || len(files) > 0 {
				t.Errorf("it left %v, %v", files, err)
			}
		})
	}
}

// A visitor reads only that it failed, and the log has the reason.
func TestEmbedLogsWhatFailed(t *testing.T) {
	database := testdb.Postgres(t)
	s := startEmbed(t, outside(t, "embed"), database)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "ALTER TABLE users RENAME TO members")
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		form         url.Values
	}{{"POST", "/sign-up", url.Values{"email": {"zoe@example.com"}}}, {"GET", "/", nil}} {
		if status, body := s.ask(c.method, c.path, "", c.form); status != 503 || body != "try again later\n" {
			t.Errorf("%s: %d %s", c.path, status, body)
		}
	}
	log := s.stop()
	for _, path := range []string{"/sign-up", "/"} {
		if !regexp.MustCompile(`level=ERROR msg="request failed" path=` + path + ` error=.*users.* does not exist`).MatchString(log) {
			t.Errorf("the log does not say why %s failed:\n%s", path, log)
		}
	}
}
