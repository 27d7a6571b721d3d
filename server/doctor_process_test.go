package server

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/internal/testproc"
	"github.com/claimcheck-go/claimcheck/queue"
)

// With a real server running, the only warnings are about the fake queue's
// configuration and the missing sweep.
func TestDoctorBesideAServer(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	env := c.env("DATABASE_URL=" + testdb.Postgres(t))
	s := c.serve(t.TempDir(), env)
	result := procRun(t, t.TempDir(), env, "", "doctor")
	if result.status != 0 || !strings.Contains(result.stdout, "refused with 401 by the server itself") ||
		!strings.Contains(result.stdout, "created and deleted one in default") || !strings.Contains(result.stdout, "it has never run") {
		t.Errorf("status %d\n%s%s", result.status, result.stdout, result.stderr)
	}
	if tasks := c.Tasks(); len(tasks) != 0 {
		t.Errorf("it left %v", tasks)
	}
	// Tasks still reach the server as before.
	s.wantEnd(s.enqueue(`{"task":"demo.echo"}`).ID, queue.StatusSuccessful, 1)
	s.signal(syscall.SIGKILL)
	<-s.ended
	if result := procRun(t, t.TempDir(), env, "", "doctor"); result.status != 1 || !strings.Contains(result.stdout, "fail     handler") {
		t.Errorf("status %d\n%s%s", result.status, result.stdout, result.stderr)
	}
}

func TestDoctorIsInterrupted(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	command := procCommand(t, procPatience, t.TempDir(), []string{"DATABASE_URL=postgres://u@" + silent.Addr().String() + "/d?sslmode=disable"}, "doctor")
	out := testproc.NewLog(t, command)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := silent.Accept() // it waits for this database now
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := command.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v", err)
	}
	if text := out.String(); !regexp.MustCompile(`skipped +database +interrupted`).MatchString(text) || !strings.Contains(text, "interrupted before everything was looked at") {
		t.Error(text)
	}
}

func TestDoctorKnowsAllQueues(t *testing.T) {
	p := newTarget(t)
	p.env["TASKS_QUEUE_ALIASES"] = "emails=e-0,emails=e-1"
	p.wants("fail queues: e-0 does not exist; e-1 does not exist")
	if len(p.fake.Tasks()) != 0 {
		t.Error("a Cloud Task was left behind")
	}
	p = newTarget(t)
	p.env["TASKS_QUEUES"] = "default" // the alias is for a queue that may not be used
	p.env["TASKS_QUEUE_ALIASES"] = "emails=e-0"
	q := goodQueue(targetQueue)
	q.StackdriverLoggingConfig = &cloudtaskspb.StackdriverLoggingConfig{SamplingRatio: 0.1}
	p.replaceQueue(q)
	if text := detailOf(p.wants(), "queues"); text != "default RUNNING, logs 10%" {
		t.Error(text)
	}
}

// The page has all checks, and no others.
func TestDoctorIsDocumented(t *testing.T) {
	p := newTarget(t)
	p.keep(testdb.Postgres(t))
	p.facts = safe
	page, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, built []string
	_, table, _ := strings.Cut(string(page), "\n## The checks\n")
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z ]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, row[1])
	}
	for _, r := range p.diagnose() {
		if r.Check != strings.ToUpper(r.Check) {
			built = append(built, r.Check)
		}
	}
	if !slices.Equal(documented, built) {
		t.Errorf("documented: %q\nbuilt:      %q", documented, built)
	}
}
