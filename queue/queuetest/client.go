package queuetest

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// New returns a client of the tasks and schedules for one test, on an empty [Store], and
// the clock by which both go. It stands at the present second until the test moves it.
// Nothing runs a task before the test does.
func New(t testing.TB, tasks ...queue.Definition) (*queue.Client, *Clock) {
	t.Helper()
	clock := NewClock(time.Now().Truncate(time.Second))
	return NewClient(t, queue.Config{Store: NewStore(clock), Registry: queue.NewRegistry(tasks...)}), clock
}

// NewClient is [queue.NewClient] for one test, which it ends if the configuration is
// wrong. Without cfg.Store, it uses a [Store] that goes by package time. Without
// cfg.Logger, what the client logs belongs to the output of the test.
func NewClient(t testing.TB, cfg queue.Config) *queue.Client {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = NewStore(nil)
	}
	if cfg.Logger == nil {
		cfg.Logger = Logger(t)
	}
	client, err := queue.NewClient(cfg)
	if err != nil {
		t.Fatalf("queuetest: %v", err)
	}
	return client
}

// Logger returns a logger whose lines belong to the output of the test. After its end they
// are dropped.
func Logger(t testing.TB) *slog.Logger {
	out := &output{t: t}
	t.Cleanup(out.close)
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// output writes to the log of a test until it has ended.
type output struct {
	mu    sync.Mutex
	t     testing.TB
	ended bool
}

func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ended {
		o.t.Log(string(bytes.TrimRight(line, "\n")))
	}
	return len(line), nil
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
}
