// Package notice reports, by a webhook or in Slack, when something begins to need a look:
// tasks are stranded, workers are lost, the sweeper does not run, a queue has no worker,
// tasks of one kind fail, no program knows a name. These are the warnings of the admin's
// overview ([github.com/claimcheck-go/claimcheck/server/admin]), which this package does
// not need.
//
// Sweeps look, at most once a minute for all processes together, and what begins is
// reported once, by a task; another notice says when it is over. Notices name problems,
// tasks, queues and counts, and never arguments, results or texts of errors.
package notice

import (
	"cmp"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
	"github.com/claimcheck-go/claimcheck/server/webhook"
)

// TaskName is the name of the task that delivers notices.
const TaskName = "claimcheck.notice"

// Format is the form of what is posted.
type Format string

// Formats of notices.
const (
	JSON  Format = "json"  // a Message
	Slack Format = "slack" // {"text": …}, for an incoming webhook of Slack
)

// Defaults of [Config].
const (
	DefaultInterval = 5 * time.Minute
	DefaultFailures = 20
)

// Config configures [New].
type Config struct {
	// URL is where notices are posted: http or https. Required. Whoever knows the URL of
	// an incoming webhook can post there: it is in no task, log line or error.
	URL    string
	Format Format // empty: Slack for hooks.slack.com, else JSON
	// Secret and AllowHosts are those of [webhook.Config]: what is posted is signed, and
	// reaches no private address unless its host is allowed.
	Secret     string
	AllowHosts []string

	// AdminURL is the address of the admin's pages, such as
	// https://tasks.example.com/admin, to which notices link. Empty: they have no links.
	AdminURL string
	// Program is the name of the program in notices. Empty: claimcheck.
	Program string
	// Queue is the queue of the task that delivers notices; empty: [queue.DefaultQueue]. In
	// one of its own it does not wait for others.
	Queue string
	// Interval is the shortest time between two notices, and how long a problem has to be
	// gone to be over. 0 means DefaultInterval.
	Interval time.Duration
	// Failures is how many tasks of one name must be FAILED for one reason within the last hour to be a
	// problem. 0 means DefaultFailures.
	Failures int

	// Dispatches says that tasks are dispatched, and not only pulled by workers.
	Dispatches bool
	// SweepEvery is the interval at which sweeps are expected; 0: none are.
	SweepEvery time.Duration
	// Sweeper says what to do about a sweeper that does not run. May be empty.
	Sweeper string
	// Logger gets what went wrong; nil means slog.Default().
	Logger *slog.Logger
}

// ConfigError is a field of [Config] that cannot be used. Its text has neither the URL nor the secret.
type ConfigError struct {
	Field string
	Text  string // what the field accepts
}

func (e *ConfigError) Error() string { return "notice: Config." + e.Field + " " + e.Text }

// Notices finds problems and delivers notices. It is safe for concurrent use. Make one
// with [New]; register its Task, and give its Hooks to the client.
type Notices struct {
	cfg        Config
	sender     *webhook.Sender
	checkEvery time.Duration
	now        func() time.Time

	mu     sync.Mutex
	looked time.Time // when this process last looked
	lost   int       // leases that it has found expired since
}

// New makes a [Notices]. The error is a *[ConfigError].
func New(cfg Config) (*Notices, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	sender, err := webhook.NewSender(webhook.Config{Secret: cfg.Secret, AllowHosts: cfg.AllowHosts})
	if wrong, ok := errors.AsType[*webhook.ConfigError](err); ok {
		return nil, &ConfigError{wrong.Field, wrong.Text}
	}
	if err != nil {
		return nil, err
	}
	if cfg.Format == "" {
		cfg.Format = JSON
		if u, err := url.Parse(cfg.URL); err == nil && strings.EqualFold(u.Hostname(), "hooks.slack.com") {
			cfg.Format = Slack
		}
	}
	cfg.AdminURL = strings.TrimRight(cfg.AdminURL, "/")
	cfg.Program, cfg.Queue = cmp.Or(cfg.Program, "claimcheck"), cmp.Or(cfg.Queue, queue.DefaultQueue)
	cfg.Interval, cfg.Failures = cmp.Or(cfg.Interval, DefaultInterval), cmp.Or(cfg.Failures, DefaultFailures)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Notices{cfg: cfg, sender: sender, checkEvery: min(cfg.Interval/5, time.Minute), now: time.Now}, nil
}

func (cfg Config) check() error {
	switch {
	case !isHTTP(cfg.URL):
		return &ConfigError{"URL", "must be an http or https URL"}
	case cfg.Format != "" && cfg.Format != JSON && cfg.Format != Slack:
		return &ConfigError{"Format", "must be json or slack"}
	case cfg.AdminURL != "" && !isHTTP(cfg.AdminURL):
		return &ConfigError{"AdminURL", "must be an http or https URL such as https://tasks.example.com/admin"}
	case cfg.Interval < 0:
		return &ConfigError{"Interval", "must not be negative"}
	case cfg.Failures < 0:
		return &ConfigError{"Failures", "must not be negative"}
	case cfg.SweepEvery < 0:
		return &ConfigError{"SweepEvery", "must not be negative: 0 means that no sweeps are expected"}
	}
	return nil
}

func isHTTP(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// Task returns the task that delivers notices, with eight attempts of up to 30 seconds.
func (n *Notices) Task() queue.Definition {
	return queue.NewTask(TaskName, n.deliver, queue.OnQueue(n.cfg.Queue), queue.MaxAttempts(8), queue.Timeout(30*time.Second))
}

// rules are those by which problems are found.
func (n *Notices) rules(client *queue.Client) problems.Rules {
	registered := make(map[string]bool)
	for _, info := range client.Registry().Tasks() {
		registered[info.Name] = true
		for _, alias := range info.Aliases {
			registered[alias] = true
		}
	}
	return problems.Rules{
		Registered: func(task string) bool { return registered[task] }, Knows: client.Knows, MaxBacklog: client.MaxBacklog,
		Dispatches: n.cfg.Dispatches, SweepEvery: n.cfg.SweepEvery, Sweeper: n.cfg.Sweeper, Recent: recent, Failing: n.cfg.Failures, Each: true,
	}
}
