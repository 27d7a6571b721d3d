package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/handlerpath"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// Config has the parts and the settings of the handler.
type Config struct {
	Client   *queue.Client   // required
	Executor *queue.Executor // required
	// Auth decides which requests are accepted; required, so that leaving it out
	// fails closed.
	Auth Authenticator
	// RouteAuth replaces Auth for the routes that it names ("execute", "enqueue",
	// "purge", …).
	RouteAuth map[string]Authenticator

	// ExecutePath is a second path, with {task_id}, at which deliveries arrive
	// besides /tasks/execute/{task_id}/; [CheckExecutePath] checks one.
	ExecutePath string
	// MaxBody bounds a request's body in bytes; 0 means 1 MiB.
	MaxBody int64
	// RequestTimeout is the time after which the platform ends a request: run and
	// purge stop before it. 0 means that there is none.
	RequestTimeout time.Duration
	// BusyStatus answers a delivery when all slots are in use; 0 means 429. On
	// App Engine, whose queues slow down for 503 only, it must be 503.
	BusyStatus int
	// Around wraps the handling of each accepted request, for telemetry; route is
	// its pattern, such as /tasks/execute/{task_id}/. May be nil.
	Around func(route string, next http.HandlerFunc) http.HandlerFunc
	// Redact reports whether the arguments of tasks of this name are hidden: filters by
	// arguments and text then find none of them, and the list says so. It should be the
	// Redact of package admin, and is asked for all names of a task. nil hides none.
	Redact func(task string) bool
	// Logger gets the details that answers leave out, and refused requests: at most
	// one line a minute for each status and text. nil means slog.Default().
	Logger *slog.Logger
}

// handler serves the routes.
type handler struct {
	Config
	execPrefix, execSuffix string
	refusals               refusalLog
	document               func() ([]byte, error) // in OpenAPI; made when it is first asked for
}

// New returns the handler of /tasks/*. It expects full paths, so use
// [http.StripPrefix] only for a prefix in front of /tasks/. The handler is safe for
// concurrent use, answers errors as {"error":"…"}, and never redirects.
func New(cfg Config) (http.Handler, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 1 << 20
	}
	if cfg.BusyStatus == 0 {
		cfg.BusyStatus = http.StatusTooManyRequests
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	h := &handler{Config: cfg}
	h.document = sync.OnceValues(func() ([]byte, error) { return describe(cfg.Client.Registry().Tasks()) })
	if cfg.ExecutePath != "" {
		h.execPrefix, h.execSuffix, _ = strings.Cut(cfg.ExecutePath, handlerpath.Placeholder)
	}
	return h, nil
}

// check names every field that is wrong.
func (cfg Config) check() error {
	var problems []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			problems = append(problems, fmt.Errorf("httpapi: Config."+format, args...))
		}
	}
	wrong(cfg.Client == nil, "Client is required")
	wrong(cfg.Executor == nil, "Executor is required")
	wrong(cfg.Auth == nil, "Auth is required: it decides who may call")
	wrong(cfg.MaxBody < 0, "MaxBody must not be negative: it is a number of bytes, and 0 means 1 MiB")
	wrong(cfg.RequestTimeout < 0, "RequestTimeout must not be negative: 0 means that there is none")
	wrong(cfg.BusyStatus != 0 && (cfg.BusyStatus < 400 || cfg.BusyStatus > 599), "BusyStatus must be a status code from 400 to 599, not %d", cfg.BusyStatus)
	for _, name := range slices.Sorted(maps.Keys(cfg.RouteAuth)) {
		known := slices.ContainsFunc(routes, func(r route) bool { return r.name == name })
		wrong(!known, "RouteAuth[%q]: there is no such route", name)
		wrong(known && cfg.RouteAuth[name] == nil, "RouteAuth[%q] must not be nil", name)
	}
	if cfg.ExecutePath != "" {
		err := CheckExecutePath(cfg.ExecutePath)
		wrong(err != nil, "ExecutePath %w", err)
	}
	return errors.Join(problems...)
}

// route is one endpoint; caller says which callers it is for.
type route struct {
	name   string // its path's first part after /tasks/, but for list
	item   string // the pattern's name of what follows, such as task_id; empty: nothing does
	action string // what follows the item; empty: nothing does
	method string // POST and PUT also say that there is a body
	get    bool   // GET too, with the parameters in the query
	// params are the names of its parameters: fields of the JSON body of a POST or PUT,
	// else of the query. A POST with queryToo has them in its query, together with
	// parameters of others, since Cloud Tasks sends nothing but a URL.
	params   []string
	queryToo bool
	caller   string
	serve    func(*handler, http.ResponseWriter, *http.Request, string)
}

// routes is every endpoint under /tasks/.
var routes = []route{
	{"execute", "task_id", "", http.MethodPost, false, []string{"allow_retry", "fail_on_error"}, true, "Cloud Tasks", (*handler).execute},
	{"enqueue", "", "", http.MethodPost, false, []string{"args", "backend_name", "expires_at", "expires_in", "group_id", "id", "keep_failed", "keep_successful", "on_conflict", "priority", "queue_name", "run_after", "task", "unique_for", "unique_key"}, false, "programs", (*handler).enqueue},
	{"result", "task_id", "", http.MethodGet, false, nil, false, "programs", (*handler).result},
	{"cancel", "task_id", "", http.MethodPost, false, nil, false, "programs", (*handler).cancel},
	{"delete", "task_id", "", http.MethodPost, false, nil, false, "programs", (*handler).delete},
	{"status", "", "", http.MethodGet, false, []string{"backend_name", "queue_name"}, false, "programs, monitoring", (*handler).status},
	{"figures", "", "", http.MethodGet, false, []string{"backend_name", "queue_name", "since", "task", "until"}, false, "programs, operators", (*handler).figures},
	{"run", "", "", http.MethodPost, false, []string{"backend_name", "max_tasks", "queue_name"}, false, "schedulers", (*handler).run},
	{"run-one", "", "", http.MethodPost, false, []string{"backend_name", "queue_name"}, false, "schedulers", (*handler).runOne},
	{"purge", "", "", http.MethodPost, true, []string{"batch_size", "days", "dry_run", "status", "task", "task_path"}, false, "schedulers; App Engine's cron by GET", (*handler).purge},
	{"sweep", "", "", http.MethodPost, true, []string{"limit"}, false, "schedulers; App Engine's cron by GET", (*handler).sweep},
	{"tick", "", "", http.MethodPost, true, []string{"ahead"}, false, "schedulers; App Engine's cron by GET", (*handler).tick},
	{"schedules", "", "", http.MethodGet, false, nil, false, "programs, operators", (*handler).schedules},
	{"schedules", "name", "", http.MethodGet, false, nil, false, "programs, operators", (*handler).schedule},
	{"schedules", "name", "", http.MethodPut, false, []string{"args", "backend_name", "catch_up", "overlap", "paused", "priority", "queue_name", "spec", "task", "zone"}, false, "programs, operators", (*handler).putSchedule},
	{"schedules", "name", "", http.MethodDelete, false, nil, false, "programs, operators", (*handler).deleteSchedule},
	{"schedules", "name", "pause", http.MethodPost, false, nil, false, "operators", (*handler).pauseSchedule},
	{"schedules", "name", "resume", http.MethodPost, false, nil, false, "operators", (*handler).resumeSchedule},
	{"schedules", "name", "run", http.MethodPost, false, nil, false, "operators", (*handler).runSchedule},
	{"queues", "", "", http.MethodGet, false, nil, false, "programs, operators", (*handler).queues},
	{"queues", "name", "pause", http.MethodPost, false, []string{"reason"}, false, "operators", (*handler).pauseQueue},
	{"queues", "name", "resume", http.MethodPost, false, nil, false, "operators", (*handler).resumeQueue},
	{"queues", "name", "limit", http.MethodPut, false, []string{"rate", "reset", "running"}, false, "operators", (*handler).limitQueue},
	{"limits", "", "", http.MethodGet, false, nil, false, "programs, operators", (*handler).limits},
	{"limits", "name", "", http.MethodPut, false, []string{"each", "rate", "reset", "running"}, false, "operators", (*handler).limitNamed},
	{"groups", "", "", http.MethodGet, false, []string{"cursor", "limit"}, false, "programs, operators", (*handler).groups},
	{"groups", "", "", http.MethodPost, false, []string{"id", "name", "on_failure", "on_success"}, false, "programs", (*handler).createGroup},
	{"groups", "group_id", "", http.MethodGet, false, nil, false, "programs, operators", (*handler).group},
	{"groups", "group_id", "close", http.MethodPost, false, nil, false, "programs, operators", (*handler).closeGroup},
	{"groups", "group_id", "cancel", http.MethodPost, false, nil, false, "programs, operators", (*handler).cancelGroup},
	{"audit", "", "", http.MethodGet, false, []string{"cursor", "limit", "since", "until"}, false, "operators", (*handler).audit},
	{"list", "", "", http.MethodGet, false, []string{"args.FIELD", "backend_name", "cursor", "error", "group_id", "id", "limit", "priority", "queue_name", "since", "status", "task", "text", "until"}, false, "programs, operators", (*handler).list},
	{"openapi.json", "", "", http.MethodGet, false, nil, false, "programmers", (*handler).openapi},
}

// segment is what follows /tasks/ in its path: nothing in that of list.
func (r route) segment() string {
	if r.name == "list" {
		return ""
	}
	return r.name
}

func (r route) pattern() string {
	path := "/tasks/"
	if segment := r.segment(); segment != "" {
		path += segment + "/"
	}
	if r.item != "" {
		path += "{" + r.item + "}/"
	}
	if r.action != "" {
		path += r.action + "/"
	}
	return path
}

// fits reports whether the route is that of a path below /tasks/, in parts.
func (r route) fits(parts []string) bool {
	switch {
	case parts[0] != r.segment():
		return false
	case r.item == "":
		return len(parts) == 1
	case r.action == "":
		return len(parts) == 2
	}
	return len(parts) == 3 && parts[2] == r.action
}

func (r route) allows(method string) bool {
	gets := r.get || r.method == http.MethodGet
	return method == r.method || gets && method == http.MethodGet || r.method == http.MethodGet && method == http.MethodHead
}

// allowed lists the methods of all routes with this pattern.
func (r route) allowed() string {
	var methods []string
	for _, other := range routes {
		if other.pattern() != r.pattern() {
			continue
		}
		methods = append(methods, other.method)
		if other.get {
			methods = append(methods, http.MethodGet)
		}
	}
	return strings.Join(methods, ", ")
}

// accepts reports whether a parameter is one of the route's.
func (r route) accepts(name string) bool {
	isArg := strings.HasPrefix(name, api.ArgsPrefix) && len(name) > len(api.ArgsPrefix)
	return slices.Contains(r.params, name) || isArg && slices.Contains(r.params, argsField)
}

// argsField stands for the parameters that are filters on arguments.
const argsField = api.ArgsPrefix + "FIELD"

// ownQuery reports whether a POST has its parameters in the body or in the query.
func (r route) ownQuery() bool { return r.name == "tick" }

// hasBody reports whether requests of a method have their parameters in a body.
func hasBody(method string) bool { return method == http.MethodPost || method == http.MethodPut }

// ServeHTTP authenticates first, so that an unauthenticated request learns nothing,
// not even which routes exist.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api.LimitBodyTime(w, r) // authentication may read the body too: a signature covers it
	route, id, ok := h.match(r.Method, r.URL)
	auth := h.Auth
	if own, limited := h.RouteAuth[route.name]; limited && ok {
		auth = own
	}
	if err := auth.Authenticate(r); err != nil {
		h.refusals.log(h.Logger, r, route, authStatus(err), err.Error())
		refuse(w, err)
		return
	}
	if !ok {
		writeError(w, http.StatusNotFound, "no such endpoint")
		return
	}
	if !route.allows(r.Method) {
		w.Header().Set("Allow", route.allowed())
		writeError(w, http.StatusMethodNotAllowed, "use "+route.allowed())
		return
	}
	serve := func(w http.ResponseWriter, r *http.Request) {
		if err := route.checkParameters(w, r); err != nil {
			h.fail(w, r, err)
			return
		}
		route.serve(h, w, r, id)
	}
	if h.Around != nil {
		serve = h.Around(route.pattern(), serve)
	}
	serve(w, r)
}

// match finds the route of a path, with or without its trailing slash: the one for the
// method if there is one, else another with that path. item is what its pattern names.
func (h *handler) match(method string, u *url.URL) (found route, item string, ok bool) {
	path := u.Path
	if h.execPrefix != "" && strings.Trim(path, "/") != "tasks" {
		if id, ok := strings.CutPrefix(path, h.execPrefix); ok {
			id, ok = strings.CutSuffix(strings.TrimSuffix(id, "/"), strings.TrimSuffix(h.execSuffix, "/"))
			if ok && id != "" && !strings.Contains(id, "/") {
				return routes[0], id, true
			}
		}
	}
	if path == "/tasks" {
		path = "/tasks/"
	}
	rest, ok := strings.CutPrefix(path, "/tasks/")
	if !ok || rest == "/" {
		return route{}, "", false
	}
	parts := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	if name, ok := limitName(u); ok {
		parts = []string{parts[0], name}
	}
	if len(parts) > 1 {
		item = parts[1]
	}
	ok = false
	for _, r := range routes {
		switch {
		case !r.fits(parts):
		case r.allows(method):
			return r, item, true
		case !ok:
			found, ok = r, true
		}
	}
	return found, item, ok
}

// fail answers a request that did nothing.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	h.write(w, r, api.ErrorAnswer(err), err)
}

// write sends an answer. Internal details go to the log and not to the caller.
func (h *handler) write(w http.ResponseWriter, r *http.Request, a api.Answer, err error) {
	if _, isError := a.Body.(api.ErrorBody); isError && a.Status >= 500 && !errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, queue.ErrUnsupported) {
		h.Logger.ErrorContext(r.Context(), "request failed", append([]any{"method", r.Method, "path", r.URL.Path}, api.ErrorAttrs(err)...)...)
	}
	if a.RetryAfter > 0 {
		w.Header().Set("Retry-After", seconds(a.RetryAfter))
	}
	writeJSON(w, a.Status, a.Body)
}

// seconds writes a duration for Retry-After, rounded up.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

func writeError(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, api.ErrorBody{Error: text})
}

func writeHeader(w http.ResponseWriter, status int) {
	header := w.Header()
	header["Content-Type"] = typeJSON
	header["X-Content-Type-Options"] = noSniff
	header["Cache-Control"] = noStore
	w.WriteHeader(status)
}

// The headers that every answer has, which nothing changes.
var typeJSON, noSniff, noStore = []string{"application/json"}, []string{"nosniff"}, []string{"no-store"}

func writeJSON(w http.ResponseWriter, status int, v any) {
	writeHeader(w, status)
	if body, ok := v.(interface{ AppendJSON([]byte) ([]byte, bool) }); ok {
		if text, ok := body.AppendJSON(make([]byte, 0, 1024)); ok {
			_, _ = w.Write(append(text, '\n')) //nolint:gosec // it is JSON, and says so
			return
		}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the status is sent, and the caller may have gone
}
