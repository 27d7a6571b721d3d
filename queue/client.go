package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Config is what a Client is made of.
type Config struct {
	Store    Store     // required
	Registry *Registry // required

	// Dispatcher sends rows of the backend "default" on their way. Nil leaves
	// them to workers that pull.
	Dispatcher Dispatcher
	// Queues is the allow-list of queue names of the backend "default"; empty
	// allows every name.
	Queues []string
	// Backends are further backends by name, for tasks that are to travel
	// another way.
	Backends map[string]Backend
	// DispatchTimeout bounds how long Enqueue spends on dispatching before it
	// leaves that to the sweeper; 0 means 3 s.
	DispatchTimeout time.Duration
	// MaxBytes bounds the arguments, and the return value, of one task in
	// bytes of JSON; 0 means 1 MiB.
	MaxBytes int

	// Hooks are told how tasks go along.
	Hooks Hooks
	// Logger gets what nobody is told otherwise; nil means slog.Default().
	Logger *slog.Logger
}

// Hooks are called as tasks go along, where they happen: quickly, by many
// goroutines at once, and without changing the row. Each may be nil.
type Hooks struct {
	Enqueued func(ctx context.Context, row *Row) // stored, not yet dispatched
	Started  func(ctx context.Context, row *Row) // claimed, before its function is called
	Finished func(ctx context.Context, run *Run) // after its end, whatever it was, has been stored
}

// Backend is one way for rows to travel.
type Backend struct {
	Dispatcher Dispatcher // nil: workers pull
	Queues     []string   // allow-list of queue names; empty allows every name
}

// Defaults of Config.
const (
	DefaultDispatchTimeout = 3 * time.Second
	DefaultMaxBytes        = 1 << 20
)

// Client enqueues tasks and reads their results. It is safe for concurrent use.
type Client struct {
	cfg      Config
	registry *Registry
	backends map[string]Backend // with the default one
	outage   outage
}

// NewClient checks the configuration and fills in its defaults. It opens
// nothing and starts nothing.
func NewClient(cfg Config) (*Client, error) {
	if cfg.Store == nil {
		return nil, errors.New("queue: Config.Store is required")
	}
	if cfg.Registry == nil {
		return nil, errors.New("queue: Config.Registry is required")
	}
	backends := map[string]Backend{DefaultBackend: {Dispatcher: cfg.Dispatcher, Queues: cfg.Queues}}
	for name, backend := range cfg.Backends {
		if name == DefaultBackend || !queueNamePattern.MatchString(name) {
			return nil, fmt.Errorf(`queue: Config.Backends[%q]: use 1 to 100 letters, digits, "-", "_" or ".", and not %q, which Config.Dispatcher is`, name, DefaultBackend)
		}
		backends[name] = backend
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
	return &Client{cfg: cfg, registry: cfg.Registry, backends: backends, outage: outage{log: cfg.Logger}}, nil
}

// Registry returns the tasks that the client knows.
func (c *Client) Registry() *Registry { return c.registry }

// Handle is what Enqueue returns.
type Handle struct {
	ID  uuid.UUID
	Row *Row // as stored
	// Existed reports that the same task was stored under this ID before.
	Existed bool
}

// Request is one task to be enqueued by name.
type Request struct {
	Task string
	// Args is anything that encoding/json encodes; a json.RawMessage goes in
	// as it is. Nil is JSON's null.
	Args    any
	Options []Option
}

// Enqueue is Task.Enqueue for a task known by its name only.
func (c *Client) Enqueue(ctx context.Context, task string, args any, opts ...Option) (*Handle, error) {
	handles, err := c.EnqueueMany(ctx, Request{Task: task, Args: args, Options: opts})
	if err != nil {
		return nil, err
	}
	return handles[0], nil
}

// EnqueueMany stores all requests in one transaction, or none of them, and then
// dispatches them. An error that is ErrInvalid or ErrIDConflict is a
// *RequestError that names the request.
func (c *Client) EnqueueMany(ctx context.Context, requests ...Request) ([]*Handle, error) {
	rows, err := c.newRows(requests)
	if err != nil {
		return nil, err
	}
	handles, err := c.inserted(rows, c.cfg.Store.Insert(ctx, rows...))
	if err == nil {
		c.goOut(ctx, handles)
	}
	return handles, err
}

// newRows checks all requests and makes the rows of them.
func (c *Client) newRows(requests []Request) ([]*NewRow, error) {
	rows := make([]*NewRow, len(requests))
	for i, request := range requests {
		row, err := c.newRow(request)
		if err != nil {
			return nil, &RequestError{Index: i, Err: err}
		}
		rows[i] = row
	}
	return rows, nil
}

// inserted is what became of rows that were inserted with the given error.
func (c *Client) inserted(rows []*NewRow, err error) ([]*Handle, error) {
	c.outage.observe(err)
	var conflict *IDConflictError
	if errors.As(err, &conflict) {
		last := len(rows) - 1 // the one that came too late
		for rows[last].ID != conflict.ID && last > 0 {
			last--
		}
		return nil, &RequestError{Index: last, Err: conflict}
	}
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	handles := make([]*Handle, len(rows))
	for i, row := range rows {
		handles[i] = &Handle{ID: row.ID, Row: row.Row, Existed: row.Existed}
	}
	return handles, nil
}

// goOut dispatches what has been stored for good.
func (c *Client) goOut(ctx context.Context, handles []*Handle) {
	var rows []*Row
	for _, h := range handles {
		if hook := c.cfg.Hooks.Enqueued; hook != nil && !h.Existed {
			hook(ctx, h.Row)
		}
		// A repeated enqueue may be one whose first process died before it
		// dispatched; the claim makes a second ticket harmless.
		if h.Row.Status == StatusReady && time.Until(h.Row.RunAfter) < ArmWithin {
			rows = append(rows, h.Row)
		}
	}
	_ = c.dispatch(ctx, rows...) // logged, on the row, and the sweeper's
}

// RequestError says which request of EnqueueMany was refused, and why.
type RequestError struct {
	Index int // of the request, from 0
	Err   error
}

func (e *RequestError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *RequestError) Unwrap() error { return e.Err }

// newRow checks a request and makes the row of it.
func (c *Client) newRow(request Request) (*NewRow, error) {
	d, ok := c.registry.lookup(request.Task)
	if !ok {
		return nil, c.registry.unknown(request.Task)
	}
	o := d.options
	o.timeout = 0 // the row keeps only what this call asks for
	for _, option := range request.Options {
		option(&o)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := c.checkRoute(o.backend, o.queue); err != nil {
		return nil, err
	}
	args, err := encode("args", request.Args)
	if err != nil {
		return nil, err
	}
	if len(args) > c.cfg.MaxBytes {
		return nil, invalidf("args are %d bytes of JSON; at most %d are accepted", len(args), c.cfg.MaxBytes)
	}
	if err := CheckJSON("args", args); err != nil {
		return nil, err
	}
	if err := d.check(args); err != nil {
		return nil, invalidf("args of %s: %w", d.name, err)
	}
	if o.id == uuid.Nil {
		if o.id, err = uuid.NewV7(); err != nil {
			return nil, fmt.Errorf("enqueue: %w", err)
		}
	}
	row := &Row{
		ID: o.id, Task: request.Task, Queue: o.queue, Backend: o.backend,
		Priority: o.priority, MaxAttempts: o.maxAttempts, Timeout: o.timeout,
		RunAfter: o.runAfter.UTC().Truncate(time.Microsecond), Args: args,
	}
	return &NewRow{Row: row, Delay: o.delay, Armed: c.armed(o.backend, max(o.delay, time.Until(o.runAfter)))}, nil
}

// checkRoute refuses backends and queues that nobody would serve.
func (c *Client) checkRoute(name, queue string) error {
	backend, ok := c.backends[name]
	if !ok {
		return invalidf("backend_name %q is not known; known: %s", name, strings.Join(slices.Sorted(maps.Keys(c.backends)), ", "))
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

// HasBackend reports whether the client has a backend of this name.
func (c *Client) HasBackend(name string) bool {
	_, ok := c.backends[name]
	return ok
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

// Get returns one task, or ErrNotFound.
func (c *Client) Get(ctx context.Context, id uuid.UUID) (*Row, error) {
	row, err := c.cfg.Store.Get(ctx, id)
	c.outage.observe(err)
	return row, err
}

// timeout is what the row, or its task, allows one attempt; 0 when neither does.
func (c *Client) timeout(row *Row) time.Duration {
	if row.Timeout > 0 {
		return row.Timeout
	}
	d, _ := c.registry.lookup(row.Task)
	return d.options.timeout
}
