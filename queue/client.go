package queue

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a [Client]. Store and Registry are required; zero values of the
// other fields are usable.
type Config struct {
	Store    Store     // required
	Registry *Registry // required

	// Dispatcher dispatches the rows of the backend "default". With nil, workers
	// pull them ([Executor.Work]).
	Dispatcher Dispatcher
	// Queues lists the queue names that the backend "default" accepts; empty
	// accepts every name.
	Queues []string
	// Backends are further backends by name, for tasks with another dispatcher
	// ([OnBackend]).
	Backends map[string]Backend
	// DispatchTimeout is how long Enqueue may spend on dispatching before it leaves
	// that to the sweeper; 0 means 3 s.
	DispatchTimeout time.Duration
	// MaxBytes is the largest size of the arguments, and of the return value, of one
	// task in bytes of JSON; 0 means 1 MiB.
	MaxBytes int
	// StrictArgs makes every task refuse arguments with unknown fields, as the option
	// [StrictArgs] does for one.
	StrictArgs bool

	// Keep is how long the rows of tasks without the option [Keep] are kept after their
	// end; nil leaves that to purges.
	Keep *Retention

	// MaxBacklog is how many READY tasks a queue may have: by the queue's name, and under
	// "" for all others. An enqueue that would add more is refused with [ErrBacklogFull],
	// a bulk one as a whole; one that finds its task by its ID or its [Unique] key is not.
	// The bound is approximate, because each process counts a queue's tasks once a second
	// at most. Retries are not refused. The store must be a [BacklogCounter].
	MaxBacklog map[string]int

	// Limits are limits of queues, tasks and limit keys in the code, besides those that are
	// options of tasks: what an operator has set, they do not change ([Client.ApplyLimits]).
	// The store must be a [Limiter].
	Limits []Limit

	// Codec encrypts the arguments, return values and checkpoints of all tasks but those
	// with Encrypt(false), or if EncryptMarked, of those with Encrypt(true) ([Encrypt]). The
	// store must be a [KeyCounter]. nil: nothing is encrypted, and rows that are wait.
	Codec         Codec
	EncryptMarked bool

	// Program names the program whose code has the schedules of Registry. One that it
	// has stored, and does not have any more, counts as removed from the code: two
	// programs on one database that have different schedules need different names. Empty
	// means the base name of os.Args[0].
	Program string

	// Hooks are called at the events of tasks, for traces and metrics.
	Hooks Hooks
	// Middleware surrounds all enqueues and runs, the first outermost; [Use] and [Around]
	// are that of one task.
	Middleware []Middleware
	// Logger receives one line a run, and what no caller gets as an error; nil means
	// slog.Default().
	Logger *slog.Logger
}

// Backend is one way to dispatch rows.
type Backend struct {
	Dispatcher Dispatcher // nil: workers pull
	Queues     []string   // queue names that it accepts; empty accepts every name
}

// Defaults of [Config].
const (
	DefaultDispatchTimeout = 3 * time.Second
	DefaultMaxBytes        = 1 << 20
)

// Client enqueues tasks, reads their results, and does what operators and schedules
// need. It is safe for concurrent use.
//
// Make one with [NewClient]. The zero Client is not ready: everything that returns
// an error returns [ErrNotReady] until [Client.Init] has succeeded, so its address
// can be handed to tasks before there is a store or a registry.
type Client struct {
	initializing sync.Mutex  // held by Init
	ready        atomic.Bool // set once all of the fields below are

	cfg          Config
	registry     *Registry
	backends     map[string]Backend // with the default one
	now          func() time.Time   // for what is compared with times of the store, or stored
	managed      managedTxs
	lastPromote  lastPromote
	availability availability
	notifier     notifier
	backlogs     backlogs
	scheduleSync scheduleSync
	ticker       ticker
	groups       groupChecks

	limitsApplied atomic.Bool // the limits of the code are set
	paces         paces
	chains        chains
	keys          []string // of Config.Codec
}

// NewClient checks the configuration, among it whether the backends allow the
// timeouts of the registered tasks, and fills in its defaults. It opens nothing and
// starts nothing.
func NewClient(cfg Config) (*Client, error) {
	c := new(Client)
	if err := c.Init(cfg); err != nil {
		return nil, err
	}
	return c, nil
}

// Init makes a zero Client ready, as [NewClient] would have made it. Goroutines
// that hold the Client's address may use it meanwhile: they get [ErrNotReady] until
// Init has succeeded. A failed Init leaves the Client as it was; one that is ready
// already is an error.
func (c *Client) Init(cfg Config) error {
	c.initializing.Lock()
	defer c.initializing.Unlock()
	if c.ready.Load() {
		return errors.New("queue: Client.Init: the Client is ready already: each Config needs a Client of its own")
	}
	if err := cfg.required(); err != nil {
		return err
	}
	backends, err := cfg.backends()
	if err != nil {
		return err
	}
	if cfg.DispatchTimeout < 0 || cfg.MaxBytes < 0 {
		return errors.New("queue: Config.DispatchTimeout and MaxBytes must not be negative")
	}
	if err := cmp.Or(cfg.checkKeep(), cfg.checkBacklogs(), cfg.checkLimits(), cfg.checkCodec(), cfg.Registry.checkOnFailed()); err != nil {
		return err
	}
	if cfg.DispatchTimeout == 0 {
		cfg.DispatchTimeout = DefaultDispatchTimeout
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Program == "" && len(os.Args) > 0 {
		cfg.Program = filepath.Base(os.Args[0])
	}
	cfg.Hooks, cfg.Codec = cfg.Hooks.guarded(cfg.Logger), guarded(cfg.Codec)
	for _, task := range cfg.Registry.Tasks() {
		if err := checkTimeout(backends[task.Backend].Dispatcher, task.Timeout); err != nil {
			return fmt.Errorf("queue: task %q: %w", task.Name, err)
		}
	}
	if err := cfg.checkSchedules(backends); err != nil {
		return err
	}
	chains, err := newChains(&cfg)
	if err != nil {
		return err
	}
	for _, backend := range backends {
		if local, ok := backend.Dispatcher.(*Local); ok {
			local.logTo(cfg.Logger)
		}
	}
	c.cfg, c.registry, c.backends, c.chains, c.keys, c.availability.log = cfg, cfg.Registry, backends, chains, cfg.keys(), cfg.Logger
	c.now = cfg.clock()
	c.ready.Store(true)
	return nil
}

// clock returns the store's clock, or that of the process.
func (cfg *Config) clock() func() time.Time {
	if clocked, ok := cfg.Store.(Clocked); ok {
		return clocked.Now
	}
	return time.Now
}

// backends returns all backends by name, or the error of one that cannot work.
func (cfg *Config) backends() (map[string]Backend, error) {
	backends := map[string]Backend{DefaultBackend: {Dispatcher: cfg.Dispatcher, Queues: cfg.Queues}}
	for name, backend := range cfg.Backends {
		if name == DefaultBackend || !validName(name) {
			return nil, fmt.Errorf(`queue: Config.Backends[%q]: use 1 to 100 letters, digits, "-", "_" or ".", and not ".", ".." or %q, which Config.Dispatcher is`, name, DefaultBackend)
		}
		backends[name] = backend
	}
	if err := checkDispatchers(backends); err != nil {
		return nil, err
	}
	for name, backend := range backends {
		for _, queue := range backend.Queues {
			if !validName(queue) {
				return nil, fmt.Errorf(`queue: Queues of backend %q: %.120q is not a queue name: use 1 to 100 letters, digits, "-", "_" or ".", and not "." or ".." alone`, name, queue)
			}
		}
	}
	return backends, nil
}

// Registry returns the tasks that the client knows: none before it is ready.
func (c *Client) Registry() *Registry {
	if c.check() != nil {
		return NewRegistry()
	}
	return c.registry
}

// StrictArgs reports whether every task refuses arguments with unknown fields.
func (c *Client) StrictArgs() bool { return c.check() == nil && c.cfg.StrictArgs }

// checkRoute refuses backends and queues that would not be served.
func (c *Client) checkRoute(name, queue string) error {
	backend, ok := c.backends[name]
	if !ok {
		return invalidf("backend_name %q is not known; known: %s", name, c.backendNames())
	}
	if len(backend.Queues) > 0 && !slices.Contains(backend.Queues, queue) {
		return invalidf("queue_name %q is not allowed; allowed: %s", queue, strings.Join(backend.Queues, ", "))
	}
	if checker, ok := backend.Dispatcher.(QueueChecker); ok {
		if err := checker.CheckQueue(queue); err != nil {
			return invalidf("queue_name: %w", err)
		}
	}
	return nil
}

// checkTimeout refuses timeouts that the backend's dispatcher does not allow.
func (c *Client) checkTimeout(backend string, timeout time.Duration) error {
	return checkTimeout(c.backends[backend].Dispatcher, timeout)
}

func checkTimeout(d Dispatcher, timeout time.Duration) error {
	if checker, ok := d.(TimeoutChecker); ok && timeout > 0 {
		return checker.CheckTimeout(timeout)
	}
	return nil
}

// HasBackend reports whether the client has a backend of this name.
func (c *Client) HasBackend(name string) bool {
	if c.check() != nil {
		return false
	}
	_, ok := c.backends[name]
	return ok
}

func (c *Client) backendNames() string {
	return strings.Join(slices.Sorted(maps.Keys(c.backends)), ", ")
}

// dispatchesTo reports whether a backend has this dispatcher.
func (c *Client) dispatchesTo(d Dispatcher) bool {
	for _, backend := range c.backends {
		if backend.Dispatcher == d {
			return true
		}
	}
	return false
}

// backendOf returns the name of the backend that has this dispatcher.
func (c *Client) backendOf(d Dispatcher) string {
	for name, backend := range c.backends {
		if backend.Dispatcher == d {
			return name
		}
	}
	return DefaultBackend
}

// timeout is what the row, or its task, allows one attempt; 0 when neither does.
func (c *Client) timeout(row *Row) time.Duration {
	if row.Timeout > 0 {
		return row.Timeout
	}
	d, _ := c.registry.lookup(row.Task)
	return d.options.timeout
}
