package notice_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/notice"
	"github.com/claimcheck-go/claimcheck/server/pushtest"
)

const signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// sink is where notices are posted.
type sink struct {
	*httptest.Server
	t      *testing.T
	mu     sync.Mutex
	bodies [][]byte
}

func newSink(t *testing.T) *sink {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(signingSecret)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{t: t}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verifier.Verify(body, r.Header); err != nil {
			t.Errorf("signature: %v", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bodies = append(s.bodies, body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) got() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies
}

// notices are configured to reach the sink.
func (s *sink) notices(change func(*notice.Config)) *notice.Notices {
	s.t.Helper()
	at, err := url.Parse(s.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := notice.Config{
		URL: s.URL + "/hook", Secret: signingSecret, AllowHosts: []string{at.Host}, AdminURL: "https://ops.example.com/admin", Program: "shop",
		Interval: 50 * time.Millisecond, Failures: 3,
	}
	if change != nil {
		change(&cfg)
	}
	n, err := notice.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

var breaks = queue.NewTask("billing.charge", func(context.Context, string) (any, error) { return nil, errors.New("no such customer") }, queue.MaxAttempts(1))

// until repeats do until the sink has got so many notices.
func (s *sink) until(n int, do func()) [][]byte {
	s.t.Helper()
	end := time.Now().Add(time.Minute)
	for len(s.got()) < n {
		if do(); time.Now().After(end) {
			s.t.Fatalf("only %d notices: %s", len(s.got()), s.got())
		}
	}
	return s.got()
}

// Several processes on one database send one notice of the beginning, and one of the end.
func TestNoticesOnEveryDatabase(t *testing.T) {
	for name, open := range map[string]func() (queue.Store, error){
		"PostgreSQL": func() (queue.Store, error) {
			return pgstore.Open(t.Context(), pgstore.Config{URL: testdb.Postgres(t), Migrate: true})
		},
		"MariaDB": func() (queue.Store, error) {
			return mysqlstore.Open(t.Context(), mysqlstore.Config{URL: testdb.MariaDB(t), Migrate: true})
		},
		"SQLite": func() (queue.Store, error) {
			return sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite:" + t.TempDir() + "/tasks.db", Migrate: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := open()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = store.(io.Closer).Close() }()
			s := newSink(t)
			var clients []*queue.Client
			var executor *queue.Executor
			for range 3 {
				n := s.notices(nil)
				client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(breaks, n.Task()), Hooks: n.Hooks(), Logger: queuetest.Logger(t)})
				if err != nil {
					t.Fatal(err)
				}
				if executor, err = queue.NewExecutor(client, queue.ExecutorConfig{}); err != nil {
					t.Fatal(err)
				}
				clients = append(clients, client)
			}
			work := func() {
				var all sync.WaitGroup
				for _, client := range clients {
					all.Go(func() {
						if _, err := client.Sweep(t.Context(), 0); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if _, err := executor.Process(t.Context(), 100, queue.From{}); err != nil {
					t.Error(err)
				}
			}
			for range 3 {
				if _, err := breaks.Enqueue(t.Context(), clients[0], "4711"); err != nil {
					t.Fatal(err)
				}
			}
			var m notice.Message
			first := s.until(1, work)[0]
			if err := json.Unmarshal(first, &m); err != nil || m.Type != "claimcheck.notice" || len(m.Problems) != 1 || len(m.Over) != 0 || m.Problems[0].Kind != "failing" || m.Problems[0].Count != 3 || m.Problems[0].Name != "billing.charge" {
				t.Errorf("%s, %v", first, err)
			}
			if !strings.Contains(string(first), `"over":[]`) {
				t.Errorf("a list is null: %s", first)
			}
			if text := string(first); strings.Contains(text, "4711") || strings.Contains(text, "customer") {
				t.Errorf("the notice has arguments or texts of errors: %s", text)
			}
			for range 30 {
				work()
			}
			if _, _, err := clients[0].Purge(t.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusFailed}}, nil); err != nil {
				t.Fatal(err)
			}
			got := s.until(2, work)
			if !strings.Contains(string(got[1]), `"problems":[]`) {
				t.Errorf("a list is null: %s", got[1])
			}
			m = notice.Message{}
			if err := json.Unmarshal(got[1], &m); err != nil || len(got) != 2 || len(m.Problems) != 0 || len(m.Over) != 1 || m.Over[0].Kind != "failing" {
				t.Errorf("%d notices, the last %s, %v", len(got), got[len(got)-1], err)
			}
		})
	}
}

// Cloud Tasks delivers the notice like any task.
func TestNoticesInPushMode(t *testing.T) {
	s := newSink(t)
	n := s.notices(func(c *notice.Config) { c.Format, c.Queue, c.Dispatches = notice.Slack, "ops", true })
	server := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(breaks, n.Task()), Hooks: n.Hooks()})
	for range 3 {
		if _, err := breaks.Enqueue(t.Context(), server.Client, "4711"); err != nil {
			t.Fatal(err)
		}
	}
	body := s.until(1, func() {
		if _, err := server.Client.Sweep(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})[0]
	var text struct{ Text string }
	const want = "*<https://ops.example.com/admin/|shop>*: 1 new problem\n• <https://ops.example.com/admin/tasks?task=billing.charge&view=failed|3 tasks named billing.charge are FAILED with the same error>: 3 in the last hour; latest "
	if err := json.Unmarshal(body, &text); err != nil || !strings.HasPrefix(text.Text, want) {
		t.Errorf("%s, %v", body, err)
	}
	server.Wait(t, time.Minute)
	operator, err := server.Client.Operator()
	if err != nil {
		t.Fatal(err)
	}
	page, err := operator.List(t.Context(), queue.ListRequest{Selection: queue.Selection{View: queue.ViewSuccessful, Task: notice.TaskName, Queue: "ops"}, Limit: 10})
	if err != nil || len(page.Rows) != 1 {
		t.Errorf("%+v, %v", page.Rows, err)
	}
}

func TestConfigErrorsNameTheField(t *testing.T) {
	good := notice.Config{URL: "https://h/"}
	for want, change := range map[string]func(*notice.Config){
		"notice: Config.URL must be an http or https URL":               func(c *notice.Config) { c.URL = "ftp://SEKRET" },
		"notice: Config.Format must be json or slack":                   func(c *notice.Config) { c.Format = "xml" },
		"notice: Config.Secret must be whsec_ followed by base64":       func(c *notice.Config) { c.Secret = "SEKRET" },
		"notice: Config.AllowHosts \"http://x\" is no host":             func(c *notice.Config) { c.AllowHosts = []string{"http://x"} },
		"notice: Config.AdminURL must be an http or https URL such as ": func(c *notice.Config) { c.AdminURL = "/admin" },
		"notice: Config.Interval must not be negative":                  func(c *notice.Config) { c.Interval = -1 },
		"notice: Config.Failures must not be negative":                  func(c *notice.Config) { c.Failures = -1 },
		"notice: Config.SweepEvery must not be negative":                func(c *notice.Config) { c.SweepEvery = -1 },
	} {
		cfg := good
		change(&cfg)
		_, err := notice.New(cfg)
		var wrong *notice.ConfigError
		if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "SEKRET") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
