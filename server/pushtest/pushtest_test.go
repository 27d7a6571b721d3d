package pushtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/server/pushtest"
)

// flaky fails twice.
var flaky = queue.NewTask("flaky", func(ctx context.Context, in string) (string, error) {
	if info, _ := queue.InfoFrom(ctx); info.Attempt < 3 {
		return "", errors.New("not yet")
	}
	return "done " + in, nil
}, queue.OnQueue("slow"))

func TestATaskGoesTheWholeWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(flaky)})
		handle, err := flaky.Enqueue(t.Context(), s.Client, "it", queue.Delay(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if tasks := s.CloudTasks.Tasks(); len(tasks) != 1 || !strings.Contains(tasks[0].GetName(), "/queues/slow/") || tasks[0].GetHttpRequest().GetOidcToken().GetServiceAccountEmail() != pushtest.Account {
			t.Errorf("%v", tasks)
		}
		began := time.Now()
		s.Wait(t, 2*time.Hour)
		if waited := time.Since(began); waited < time.Hour {
			t.Errorf("it has run after %s", waited)
		}
		out, err := flaky.Result(t.Context(), s.Client, handle.ID)
		if stats := s.CloudTasks.Stats(); err != nil || out != "done it" || stats.Delivered != 3 || stats.Failed != 2 {
			t.Errorf("%q, %v, %+v", out, err, stats)
		}
		queuetest.RequireEnqueued(t, s.Client, flaky, queuetest.Args("it"), queuetest.Status(queue.StatusSuccessful))
	})
}

func TestWhatCloudTasksRefusesTheSweeperDispatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(flaky)})
		s.CloudTasks.SetFaults(cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: 1}})
		handle, err := flaky.Enqueue(t.Context(), s.Client, "it")
		if err != nil {
			t.Fatal(err)
		}
		s.CloudTasks.SetFaults(cloudtaskstest.Faults{})
		if _, err := s.Client.Sweep(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		s.Wait(t, time.Hour)
		if out, err := flaky.Result(t.Context(), s.Client, handle.ID); err != nil || out != "done it" {
			t.Errorf("%q, %v", out, err)
		}
	})
}

func TestOnlyTokensOfCloudTasksAreAccepted(t *testing.T) {
	s := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(flaky)})
	call := func(email, audience string) int {
		r := httptest.NewRequest(http.MethodGet, "/tasks/status/", nil)
		if email != "" {
			token, err := s.CloudTasks.Token(email, audience)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		s.Handler.ServeHTTP(w, r)
		return w.Code
	}
	for want, got := range map[int]int{
		http.StatusUnauthorized: call("", ""), http.StatusForbidden: call("eve@test.iam.gserviceaccount.com", pushtest.Audience), http.StatusOK: call(pushtest.Account, pushtest.Audience),
	} {
		if got != want {
			t.Errorf("answered %d, want %d", got, want)
		}
	}
}

func TestNoDriverIsLinked(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if strings.HasPrefix(path, "modernc.org/") || strings.HasPrefix(path, "github.com/jackc/") || strings.HasPrefix(path, "github.com/go-sql-driver/") {
			t.Errorf("it links %s", path)
		}
	}
}

// pieces continues twice, each time with a ticket of its own.
var pieces = queue.NewTask("pieces", func(ctx context.Context, in string) (string, error) {
	done, _, err := queue.Checkpoint[int](ctx)
	if err != nil {
		return "", err
	}
	first, err := queue.Step(ctx, "first", func(ctx context.Context) (int, error) {
		info, _ := queue.InfoFrom(ctx)
		return info.Attempt, nil
	})
	if err != nil {
		return "", err
	}
	if done < 2 {
		return "", queue.Continue(done + 1)
	}
	return fmt.Sprintf("%s in %d pieces, the first step in attempt %d", in, done+1, first), nil
}, queue.MaxAttempts(1))

func TestATaskContinuesThroughCloudTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(pieces)})
		handle, err := pieces.Enqueue(t.Context(), s.Client, "it")
		if err != nil {
			t.Fatal(err)
		}
		s.Wait(t, time.Minute)
		out, err := pieces.Result(t.Context(), s.Client, handle.ID)
		if stats := s.CloudTasks.Stats(); err != nil || out != "it in 3 pieces, the first step in attempt 1" || stats.Delivered != 3 || stats.Failed != 0 {
			t.Errorf("%q, %v, %+v", out, err, stats)
		}
	})
}

// A delivered task is encrypted in the database, and one whose key the program lacks is
// answered with 500, which uses no attempt up.
func TestATaskIsEncryptedOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		echo := queue.NewTask("echo", func(_ context.Context, in string) (string, error) { return in, nil })
		hash, old := aead.NewKey(aead.HashKey).Secret, aead.NewKey("k1")
		keyring := func(keys ...aead.Key) *aead.Keyring {
			r, err := aead.New(hash, keys...)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		store := queuetest.NewStore(nil)
		writer, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(echo), Codec: keyring(old)})
		if err != nil {
			t.Fatal(err)
		}
		s := pushtest.Start(t, queue.Config{Store: store, Registry: queue.NewRegistry(echo), Codec: keyring(aead.NewKey("k2"))})
		mine, err := echo.Enqueue(t.Context(), s.Client, "4711")
		if err != nil {
			t.Fatal(err)
		}
		s.Wait(t, time.Minute)
		if out, err := echo.Result(t.Context(), s.Client, mine.ID); err != nil || out != "4711" {
			t.Errorf("%q, %v", out, err)
		}
		if row, err := store.Get(t.Context(), mine.ID); err != nil || aead.ShortID(row.KeyID) != "k2" || strings.Contains(string(row.Args)+string(row.ReturnValue), "4711") {
			t.Errorf("%+v, %v", row, err)
		}
		theirs, err := echo.Enqueue(t.Context(), writer, "4711")
		if err != nil {
			t.Fatal(err)
		}
		token, err := s.CloudTasks.Token(pushtest.Account, pushtest.Audience)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/tasks/execute/"+theirs.ID.String()+"/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		s.Handler.ServeHTTP(w, r)
		if status, body := w.Code, w.Body.String(); status != http.StatusInternalServerError || !strings.Contains(body, "is encrypted with a key that this program does not have") {
			t.Errorf("%d %s", status, body)
		}
		if row, err := store.Get(t.Context(), theirs.ID); err != nil || row.Attempts != 0 || row.Status != queue.StatusReady {
			t.Errorf("%+v, %v", row, err)
		}
	})
}
