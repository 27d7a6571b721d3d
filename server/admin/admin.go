// Package admin is the pages that people who look after tasks open: what is
// stuck and why, and the way to run it again. It stands above queue, of which it
// uses the Client and its Operator, and knows no store.
//
// New makes one http.Handler of it, to be mounted under a prefix of the caller's
// choice. Templates, styles and scripts are embedded; a page asks the database at
// most four things, works without JavaScript, and loads nothing from elsewhere.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Config is what the pages are made of.
type Config struct {
	Client *queue.Client // required; its store must be a queue.Operator
	// Access decides who may open the pages; required, so that leaving it out
	// fails closed.
	Access Access
	// Prefix is the path under which the handler is mounted, with or without
	// http.StripPrefix; empty means /admin, and / means none.
	Prefix string
	// Logger gets what people are not told; nil means slog.Default().
	Logger *slog.Logger

	// Redact says of which tasks arguments and results are never shown.
	Redact func(task string) bool
	// Links are places elsewhere that tell more of a task: its logs, its trace.
	Links func(*queue.Row) []Link

	// Mode is how tasks travel, in a word, for the foot of the pages.
	Mode string
	// Version of the program, for the foot of the pages that only admitted people
	// see; empty: it is not shown.
	Version string
	// Dispatches says that a program, and not only workers that pull, sends
	// tasks on their way.
	Dispatches bool
	// SweepEvery is how often somebody is expected to sweep: a warning comes
	// when nobody has for three times as long. 0: nobody is expected to.
	SweepEvery time.Duration
	// CheckSchema reports a schema that is behind; nil: it is not asked. It is
	// asked until it answers nil, at most once in a minute.
	CheckSchema func(ctx context.Context) error
	// Remedies complete messages whose remedy depends on the program.
	Remedies Remedies
}

// Remedies are sentences that pages show behind a problem, each saying what to do
// about it in this program: which command to run, which setting to change. Empty
// ones are left out.
type Remedies struct {
	Login       string // below the login form: where the token is found
	Schema      string // the database schema is behind
	Connections string // no database connection was free
	Sweeper     string // the sweeper has not run for a long time
}

// Link leads from a task to a page elsewhere.
type Link struct {
	Name string // what is there
	URL  string // http or https; others are left out
}

// handler serves the pages.
type handler struct {
	Config
	operator  queue.Operator // Client's store
	stats     *statsCache
	sessions  *sessions
	names     map[string]string // the registered names, by themselves and their aliases
	csrf      *http.CrossOriginProtection
	templates func() (templates, error) // parsed when first needed
	assets    func() (*assets, error)
	now       func() time.Time
	budget    time.Duration // for what one request may do to many tasks
}

// bulkBudget is how long one request works on many tasks before the page shows
// how far it is, and the next request goes on.
const bulkBudget = 5 * time.Second

// New returns the handler of the pages. It is safe for concurrent use, asks
// Access about every request but those for styles and scripts, changes nothing
// on GET, and refuses what other sites' pages send.
func New(cfg Config) (http.Handler, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	operator, err := cfg.Client.Operator()
	if err != nil {
		return nil, fmt.Errorf("admin: Config.Client: %w", err)
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "/admin"
	}
	cfg.Prefix = strings.TrimRight(cfg.Prefix, "/")
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Redact == nil {
		cfg.Redact = func(string) bool { return false }
	}
	h := &handler{Config: cfg, operator: operator, csrf: http.NewCrossOriginProtection(), now: time.Now, budget: bulkBudget}
	h.stats = newStatsCache(cfg, operator)
	h.sessions = newSessions(operator, time.Now)
	h.names = make(map[string]string)
	for _, info := range cfg.Client.Registry().Tasks() {
		for _, name := range append(info.Aliases, info.Name) {
			h.names[name] = info.Name
		}
	}
	h.assets = sync.OnceValues(loadAssets)
	h.templates = sync.OnceValues(h.parse)
	return h, nil
}

// check names every field that is wrong.
func (cfg Config) check() error {
	var problems []error
	wrong := func(is bool, text string) {
		if is {
			problems = append(problems, errors.New("admin: Config."+text))
		}
	}
	wrong(cfg.Client == nil, "Client is required")
	wrong(cfg.Access == nil, "Access is required: it decides who may open the pages")
	wrong(cfg.Prefix != "" && !strings.HasPrefix(cfg.Prefix, "/"), "Prefix must begin with /")
	wrong(cfg.SweepEvery < 0, "SweepEvery must not be negative: 0 means that no sweeps are expected")
	return errors.Join(problems...)
}
