package cloudtasks

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/handlerpath"
	"github.com/claimcheck-go/claimcheck/internal/loopback"
	"github.com/claimcheck-go/claimcheck/internal/plainname"
)

// DefaultHandlerPath is the path of the execute endpoint, unless it is configured.
const DefaultHandlerPath = handlerpath.Default

// defaultConcurrency bounds the creates of one Dispatch. Many creates at once
// are what makes the service answer DEADLINE_EXCEEDED.
const defaultConcurrency = 32

// maxURLLength is the service's limit for a task's URL.
const maxURLLength = 2083

// Config is the location of the queues, and the handler that Cloud Tasks calls.
type Config struct {
	// Project and Location of the queues, like "acme-prod" and "europe-west1".
	Project  string
	Location string

	// HandlerURL is the full URL of the execute endpoint, with {task_id} in its
	// path and no query. It must be https; http is accepted
	// for loopback hosts, and for any host with AllowHTTP. If its host is that of
	// a Cloud Run traffic tag, tickets that may go anywhere leave the tag out.
	// Not used with AppEngine.
	HandlerURL string
	// AllowHTTP accepts an http HandlerURL: an emulator beside the server may
	// call it by any name.
	AllowHTTP bool

	// ServiceAccountEmail is the account whose OIDC token deliveries carry. Not
	// used with AppEngine.
	ServiceAccountEmail string
	// Audience of that token; empty means the origin of HandlerURL, without a
	// traffic tag. It is always sent: the service's own default is the whole URL,
	// which differs for every task.
	Audience string

	// QueueAliases maps queue names of tasks to Cloud Tasks queue IDs. A name
	// without an alias is used as it is. Several IDs share the tickets of a name,
	// each getting about as many, which lifts the service's limits for one queue;
	// see [Config.QueueID].
	QueueAliases map[string][]string

	// AppEngine, if set, sends tasks to an App Engine service of the same
	// project instead of to HandlerURL. App Engine marks such requests by X-AppEngine-* headers; they carry no OIDC token.
	AppEngine *AppEngineTarget

	// RequestTimeout is how long the platform lets a request to the handler
	// take; 0 means that only Cloud Tasks bounds it.
	RequestTimeout time.Duration

	// Concurrency is how many creates one Dispatch has in flight; 0 means 32.
	Concurrency int

	// BatchCreate creates up to a hundred tasks a call where there are several: see
	// [Dispatcher.DispatchBatch]. The client must be a [BatchCreator].
	BatchCreate bool
	// Logger gets the warning of a service without batches; nil means
	// [slog.Default].
	Logger *slog.Logger
}

// AppEngineTarget says which part of the App Engine application gets the tasks.
type AppEngineTarget struct {
	// Service and Version; empty leaves the choice to App Engine at delivery
	// time: its default service, and that service's default version. Tickets
	// that may go anywhere leave the version out.
	Service string
	Version string
	// HandlerPath is the path of the execute endpoint, with {task_id}; empty means
	// [DefaultHandlerPath].
	HandlerPath string
}

// ConfigError is one field of a [Config] that is missing or wrong. Several are
// joined with errors.Join, so that all can be corrected at once.
type ConfigError struct {
	Field string // such as HandlerURL, or AppEngine.HandlerPath
	Text  string // follows the name: "is not set (it takes …)"
}

// Error returns "cloudtasks: Config.FIELD TEXT".
func (e *ConfigError) Error() string { return "cloudtasks: Config." + e.Field + " " + e.Text }

var (
	projectPattern  = regexp.MustCompile(`^[A-Za-z0-9:.-]+$`)
	locationPattern = regexp.MustCompile(`^[a-z0-9-]+$`)
)

// validQueueID applies the service's rule for the ID of a queue.
func validQueueID(id string) bool { return plainname.Valid(id, 100, "-") }

// validTaskID applies the service's rule for the ID of a task.
func validTaskID(id string) bool { return plainname.Valid(id, 500, "_-") }

// check returns cfg with its defaults filled in, or a *ConfigError for each field
// that is wrong.
func (cfg Config) check() (Config, error) {
	var problems []error
	bad := func(field, format string, args ...any) {
		problems = append(problems, &ConfigError{Field: field, Text: fmt.Sprintf(format, args...)})
	}
	checkName := func(field, value string, pattern *regexp.Regexp, want string) {
		switch {
		case value == "":
			bad(field, "is not set (it takes %s)", want)
		case !pattern.MatchString(value):
			bad(field, "is %q (it takes %s)", value, want)
		}
	}
	checkName("Project", cfg.Project, projectPattern, "a project ID like acme-prod")
	checkName("Location", cfg.Location, locationPattern, "the queues' region, like europe-west1")

	if cfg.AppEngine != nil {
		target := *cfg.AppEngine
		if target.HandlerPath == "" {
			target.HandlerPath = DefaultHandlerPath
		}
		if problem := checkHandlerPath(target.HandlerPath); problem != "" {
			bad("AppEngine.HandlerPath", "%s", problem)
		}
		cfg.AppEngine = &target
	} else {
		origin, problem := checkHandlerURL(cfg.HandlerURL, cfg.AllowHTTP)
		if problem != "" {
			bad("HandlerURL", "%s", problem)
		}
		if cfg.Audience == "" {
			cfg.Audience = WithoutTag(origin)
		}
		if email := cfg.ServiceAccountEmail; email == "" {
			bad("ServiceAccountEmail", "is not set (it takes the e-mail of the service account that Cloud Tasks signs its requests as)")
		} else if !strings.Contains(email, "@") || strings.ContainsAny(email, " \t\r\n,") {
			bad("ServiceAccountEmail", "is %q (it takes one e-mail address)", email)
		}
	}

	for _, problem := range checkAliases(cfg.QueueAliases) {
		bad("QueueAliases", "%s", problem)
	}
	cfg.QueueAliases = maps.Clone(cfg.QueueAliases)
	for name, ids := range cfg.QueueAliases {
		cfg.QueueAliases[name] = slices.Clone(ids)
	}

	if cfg.Concurrency <= 0 {
		cfg.Concurrency = defaultConcurrency
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if problems != nil {
		return Config{}, errors.Join(problems...)
	}
	return cfg, nil
}

// checkHandlerURL returns the origin of a usable handler URL, or what is wrong
// with it.
func checkHandlerURL(raw string, allowHTTP bool) (origin, problem string) {
	const want = "(it takes a full URL like https://host" + DefaultHandlerPath + ")"
	if raw == "" {
		return "", "is not set " + want
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Host == "", u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Sprintf("is %q %s", raw, want)
	case u.User != nil:
		return "", "carries a user name or password (leave it out, deliveries carry an OIDC token)"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", fmt.Sprintf("is %q (leave out everything from ? or # on, the query is added for each task)", raw)
	case u.Scheme == "http" && !allowHTTP && !loopback.Host(u.Hostname()):
		return "", fmt.Sprintf("is %q (use https, http would send tokens in the clear)", raw)
	}
	if problem := checkHandlerPath(u.Path); problem != "" {
		return "", problem
	}
	return u.Scheme + "://" + u.Host, ""
}

// checkHandlerPath returns what is wrong with a path, or "".
func checkHandlerPath(path string) string {
	if err := handlerpath.Check(path); err != nil {
		return fmt.Sprintf("has the path %q (it %s)", path, err)
	}
	if len(path) > maxURLLength/2 {
		return fmt.Sprintf("has a path of %d characters (Cloud Tasks accepts URLs of %d in all)", len(path), maxURLLength)
	}
	return ""
}
