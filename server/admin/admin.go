// Package admin serves the pages for operators of tasks: what is stuck and why, and
// how to run it again. It uses a [queue.Client] and the [queue.Operator] of its store.
//
// [New] returns one [http.Handler], for a mux and a path of the program's choice; an
// [Access] decides who may open the pages: [Tokens], [Open], or one of the program's
// own, combined by [FirstOf]. Templates, styles and scripts are embedded; a page makes
// at most four queries, works without JavaScript, and loads nothing from elsewhere.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/site"
)

// Config has the parts and the settings of the pages.
type Config struct {
	Client *queue.Client // required; its store must be a queue.Operator
	// Access decides who may open the pages; required, so that leaving it out
	// fails closed.
	Access Access
	// Prefix is the path under which the handler is mounted, with or without
	// http.StripPrefix; empty means /admin, and / means none.
	Prefix string
	// ProxyPrefix is what a proxy in front of the program removes from the beginning of
	// the path, such as /ops: in links, redirects and cookies it comes before Prefix.
	// Empty: nothing.
	ProxyPrefix string
	// ForwardedPrefix takes that from the proxy's header X-Forwarded-Prefix, and
	// ProxyPrefix if a request has none. Set it only if the proxy sets or removes this
	// header of every request: whoever sends it decides where the links of the answer
	// lead.
	ForwardedPrefix bool
	// Logger gets the details that pages leave out; nil means slog.Default().
	Logger *slog.Logger

	// Redact reports whether the arguments and results of a task's name are hidden,
	// its arguments also where [queue.OnFailed] gave them to another task; nil hides
	// none. It is asked for all names of a task: its aliases are hidden with it.
	Redact func(task string) bool
	// Links returns pages elsewhere about a task, such as its logs and its trace. May
	// be nil.
	Links func(*queue.Row) []Link

	// Brand is whose pages these are: its name takes the place of this product's in
	// titles and in the header, where it can link to a page of yours.
	Brand Brand
	// Mode is a word for how tasks are delivered, shown in the foot of the pages.
	Mode string
	// Version of the program, for the foot of the pages that only admitted people
	// see; empty: it is not shown.
	Version string
	// Dispatches says that tasks are dispatched, and not only pulled by workers.
	Dispatches bool
	// SweepEvery is the interval at which sweeps are expected: after three times as
	// long without one, the pages warn. 0: no sweeps are expected.
	SweepEvery time.Duration
	// Timeout is the time limit of tasks without one of their own
	// ([queue.ExecutorConfig].Timeout), for the pages of types; 0: there is none.
	Timeout time.Duration
	// CheckSchema returns an error if the schema is behind. It is called until it
	// returns nil, at most once a minute. May be nil.
	CheckSchema func(ctx context.Context) error
	// EnqueueCommand is the program's command to enqueue a task, to which its name and
	// arguments are appended: the overview of an empty database shows it. Empty: it has none.
	EnqueueCommand string
	// API is where the HTTP API is, for the same purpose: a path on the host of the pages,
	// such as /tasks, or a URL, where browsers use another host, or a proxy changes the Host of
	// requests. Empty: there is none. APIToken says that its callers send a token.
	API      string
	APIToken bool
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

// Brand is a name that the pages bear.
type Brand struct {
	Name string // at most 40 characters in one line; empty: claimcheck
	// URL is where the name in the header leads: an http or https URL, or a path of this
	// host. Empty: to the overview.
	URL string
}

// Link is a page elsewhere about a task.
type Link struct {
	Name string // what the page shows
	URL  string // http or https; others are left out
}

// handler serves the pages.
type handler struct {
	Config
	base      string                 // the path of the pages in the browser's address
	prefixes  *prefixed              // for ForwardedPrefix
	hidden    func(task string) bool // Config.Redact, nil if that was
	operator  queue.Operator         // Client's store
	stats     *statsCache
	sessions  *sessions
	inspected *inspections
	listings  *listings
	names     map[string]string // the registered names, by themselves and their aliases
	csrf      *http.CrossOriginProtection
	templates *templates
	language  func(*http.Request) *lang.Printer
	assets    func() (*assets, error)
	now       func() time.Time
	budget    time.Duration // of one request of a bulk action
}

// bulkBudget is how long one request works on many tasks before the page shows the
// progress and the next request continues.
const bulkBudget = 5 * time.Second

// New returns the handler of the pages. It is safe for concurrent use, calls Access
// for every request but those for styles and scripts, changes nothing on GET, and
// refuses forms that other sites' pages send.
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
	hidden := cfg.Client.Registry().ByAnyName(cfg.Redact)
	if cfg.Redact = hidden; hidden == nil {
		cfg.Redact = func(string) bool { return false }
	}
	h := &handler{Config: cfg, hidden: hidden, operator: operator, csrf: http.NewCrossOriginProtection(), now: time.Now, budget: bulkBudget}
	h.base, h.prefixes = strings.TrimRight(cfg.ProxyPrefix, "/")+cfg.Prefix, &prefixed{known: make(map[string]*handler)}
	h.sessions = newSessions(operator, time.Now)
	h.inspected = &inspections{ask: cfg.Client.InspectQueue, known: make(map[inspectedQueue]*inspection)}
	h.listings = &listings{list: cfg.Client.List, patience: func() time.Duration { return h.stats.patience }, known: make(map[listing]*listed)}
	h.names = make(map[string]string)
	for _, info := range cfg.Client.Registry().Tasks() {
		for _, name := range append(info.Aliases, info.Name) {
			h.names[name] = info.Name
		}
	}
	h.stats = newStatsCache(cfg, operator, slices.Sorted(maps.Keys(h.names)))
	h.assets = sync.OnceValues(loadAssets)
	h.templates, h.language = newTemplates(), language
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
	for name, prefix := range map[string]string{"Prefix": cfg.Prefix, "ProxyPrefix": cfg.ProxyPrefix} {
		if err := site.CheckPrefix(prefix); err != nil {
			problems = append(problems, fmt.Errorf("admin: Config.%s %w", name, err))
		}
	}
	for name, err := range map[string]error{"Name": site.CheckBrand(cfg.Brand.Name), "URL": site.CheckBrandURL(cfg.Brand.URL)} {
		if err != nil {
			problems = append(problems, fmt.Errorf("admin: Config.Brand.%s %w", name, err))
		}
	}
	wrong(cfg.Timeout < 0, "Timeout must not be negative: 0 means that tasks without a time limit have none")
	wrong(cfg.SweepEvery < 0, "SweepEvery must not be negative: 0 means that no sweeps are expected")
	return errors.Join(problems...)
}
