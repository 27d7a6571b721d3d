// Package stepkill kills processes that run a task of several steps, at every step.
package stepkill

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// workerVariable makes the test's binary a worker: its arguments are the store, its
// database, the file of the effects and the task's ID.
const workerVariable = "CLAIMCHECK_STEPKILL_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		if err := work(context.Background(), os.Args[1], os.Args[2], os.Args[3], uuid.MustParse(os.Args[4])); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// steps is how many steps the task has. It continues in another attempt after half of
// them.
const steps = 4

// lease is the shortest: the next worker waits until it has expired.
const lease = time.Second

func open(ctx context.Context, kind, databaseURL string) (queue.Store, error) {
	switch kind {
	case "sqlite":
		return sqlitestore.Open(ctx, sqlitestore.Config{URL: databaseURL, Migrate: true})
	case "mysql":
		return mysqlstore.Open(ctx, mysqlstore.Config{URL: databaseURL, Migrate: true})
	}
	return pgstore.Open(ctx, pgstore.Config{URL: databaseURL, Migrate: true})
}

func client(store queue.Store, f queue.Func[string, string]) (*queue.Client, error) {
	return queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(queue.NewTask("steps", f, queue.MaxAttempts(2))), Logger: slog.New(slog.DiscardHandler)})
}

// work runs the task until it has ended. It says where it is, and waits for an answer
// there: the test kills it instead of answering.
func work(ctx context.Context, kind, databaseURL, effects string, id uuid.UUID) error {
	answers := bufio.NewReader(os.Stdin)
	at := func(place string) error {
		fmt.Println(place)
		_, err := answers.ReadString('\n')
		return err
	}
	store, err := open(ctx, kind, databaseURL)
	if err != nil {
		return err
	}
	c, err := client(store, func(ctx context.Context, _ string) (string, error) { return task(ctx, effects, at) })
	if err != nil {
		return err
	}
	e, err := queue.NewExecutor(c, queue.ExecutorConfig{Lease: lease})
	if err != nil {
		return err
	}
	for {
		run, err := e.RunByID(ctx, id, queue.RunOptions{})
		var refused *queue.NotClaimedError
		switch {
		case errors.As(err, &refused) && errors.Is(err, queue.ErrLeased):
			<-time.After(refused.Wait)
		case err != nil:
			return err
		case run.Outcome != queue.OutcomeRescheduled:
			fmt.Println("ended", run.Outcome, run.Row.Status, string(run.Row.ReturnValue), run.Err)
			return nil
		}
	}
}

// task appends a line to the file of the effects in each step.
func task(ctx context.Context, effects string, at func(string) error) (string, error) {
	half, continued, err := queue.Checkpoint[string](ctx)
	if err != nil {
		return "", err
	}
	var all []string
	for i := 1; i <= steps; i++ {
		name := fmt.Sprint("step ", i)
		result, err := queue.Step(ctx, name, func(context.Context) (string, error) {
			if err := at("begin " + name); err != nil {
				return "", err
			}
			return "result of " + name, appendLine(effects, name)
		})
		if err != nil {
			return "", err
		}
		if all = append(all, result); result != "result of "+name {
			return "", queue.Discard(fmt.Errorf("%s returned %q", name, result))
		}
		if err := at("stored " + name); err != nil {
			return "", err
		}
		if i == steps/2 && !continued {
			return "", queue.Continue("half")
		}
	}
	return half + ": " + strings.Join(all, ", "), nil
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

func TestEachStepOfATaskWhoseProcessIsKilledEverywhereRunsOnce(t *testing.T) {
	for kind, database := range map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "tasks.db") },
		"pg":     func(t *testing.T) string { return testdb.Postgres(t) },
		"mysql":  func(t *testing.T) string { return testdb.MariaDB(t) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			killEverywhere(t, kind, database(t))
		})
	}
}

func killEverywhere(t *testing.T, kind, databaseURL string) {
	store, err := open(t.Context(), kind, databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client(store, func(context.Context, string) (string, error) { panic("it runs in workers only") })
	if err != nil {
		t.Fatal(err)
	}
	handle, err := c.Enqueue(t.Context(), "steps", "x")
	if err != nil {
		t.Fatal(err)
	}
	effects := filepath.Join(t.TempDir(), "effects")
	killed := make(map[string]bool) // the places where a worker was killed already
	ended := ""
	for workers := 0; ended == ""; workers++ {
		if workers > 2*steps {
			t.Fatalf("%d workers, killed at %v", workers, killed)
		}
		ended = worker(t, killed, kind, databaseURL, effects, handle.ID.String())
	}
	if want := `ended succeeded SUCCESSFUL "half: result of step 1, result of step 2, result of step 3, result of step 4" <nil>`; ended != want {
		t.Errorf("%s; want %s", ended, want)
	}
	if len(killed) != 2*steps {
		t.Errorf("workers were killed at %v", killed)
	}
	done, err := os.ReadFile(effects)
	if want := "step 1\nstep 2\nstep 3\nstep 4\n"; err != nil || string(done) != want {
		t.Errorf("effects, %v:\n%s", err, done)
	}
	row, err := c.Get(t.Context(), handle.ID)
	if err != nil {
		t.Fatal(err)
	}
	if want := 2*steps + 2; row.Attempts != want || row.Checkpoint != nil { // one for each kill, the continuation, and the last
		t.Errorf("attempts %d of %d, want %d; checkpoint %s", row.Attempts, row.MaxAttempts, want, row.Checkpoint)
	}
	if closer, ok := store.(interface{ Close() error }); ok {
		if err := closer.Close(); err != nil {
			t.Error(err)
		}
	}
}

// worker runs a worker until it is at a new place, where it is killed, or until the task
// has ended.
func worker(t *testing.T, killed map[string]bool, args ...string) (ended string) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), binary, args...)
	command.Env = append(os.Environ(), workerVariable+"=1")
	var stderr strings.Builder
	command.Stderr = &stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		place := lines.Text()
		if strings.HasPrefix(place, "ended ") {
			ended = place
			continue
		}
		if !killed[place] {
			killed[place] = true
			if err := command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			break
		}
		if _, err := fmt.Fprintln(stdin); err != nil {
			t.Fatal(err)
		}
	}
	if err := command.Wait(); err != nil && ended == "" && stderr.Len() > 0 {
		t.Fatalf("%v: %s", err, &stderr)
	}
	return ended
}
