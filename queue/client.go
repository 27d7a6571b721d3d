package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	// DispatchTimeout bounds how long Enqueue spends on dispatching before it
	// leaves that to the sweeper; 0 means 3 s.
	DispatchTimeout time.Duration
	// Queues is the allow-list of queue names; empty allows every name.
	Queues []string
	// MaxBytes bounds the arguments, and the return value, of one task in
	// bytes of JSON; 0 means 1 MiB.
	MaxBytes int

	// Logger gets what nobody is told otherwise; nil means slog.Default().
	Logger *slog.Logger
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
	if cfg.DispatchTimeout == 0 {
		cfg.DispatchTimeout = DefaultDispatchTimeout
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Client{cfg: cfg, registry: cfg.Registry, outage: outage{log: cfg.Logger}}, nil
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
// dispatches them. An error that is ErrInvalid is a *RequestError that names
// the request.
func (c *Client) EnqueueMany(ctx context.Context, requests ...Request) ([]*Handle, error) {
	rows := make([]*NewRow, len(requests))
	for i, request := range requests {
		row, err := c.newRow(request)
		if err != nil {
			return nil, &RequestError{Index: i, Err: err}
		}
		rows[i] = row
	}
	err := c.cfg.Store.Insert(ctx, rows...)
	c.outage.observe(err)
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}

	handles := make([]*Handle, len(rows))
	var dispatch []*Row
	for i, row := range rows {
		handles[i] = &Handle{ID: row.ID, Row: row.Row, Existed: row.Existed}
		// A repeated enqueue may be one whose first process died before it
		// dispatched; the claim makes a second ticket harmless.
		if row.Armed && row.Status == StatusReady {
			dispatch = append(dispatch, row.Row)
		}
	}
	_ = c.dispatch(ctx, dispatch...) // logged, on the row, and the sweeper's
	return handles, nil
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
	wait := max(o.delay, time.Until(o.runAfter))
	return &NewRow{Row: row, Delay: o.delay, Armed: c.cfg.Dispatcher != nil && wait < ArmWithin}, nil
}

// checkRoute refuses backends and queues that nobody would serve.
func (c *Client) checkRoute(backend, queue string) error {
	if backend != DefaultBackend {
		return invalidf("backend_name %q is not known; known: %s", backend, DefaultBackend)
	}
	if len(c.cfg.Queues) > 0 && !slices.Contains(c.cfg.Queues, queue) {
		return invalidf("queue_name %q is not allowed; allowed: %s", queue, strings.Join(c.cfg.Queues, ", "))
	}
	if checker, ok := c.cfg.Dispatcher.(QueueChecker); ok {
		if err := checker.CheckQueue(queue); err != nil {
			return invalidf("queue_name: %w", err)
		}
	}
	return nil
}

// Get returns one task, or ErrNotFound.
func (c *Client) Get(ctx context.Context, id uuid.UUID) (*Row, error) {
	row, err := c.cfg.Store.Get(ctx, id)
	c.outage.observe(err)
	return row, err
}

// dispatch sends rows on their way. A failure is logged, noted on the rows and
// left to the sweeper, and it is returned for callers that must answer for it.
func (c *Client) dispatch(ctx context.Context, rows ...*Row) error {
	if len(rows) == 0 || c.cfg.Dispatcher == nil {
		return nil
	}
	// The rows are stored: whether the caller still waits does not matter.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.DispatchTimeout)
	defer cancel()
	tickets := make([]Ticket, len(rows))
	for i, row := range rows {
		tickets[i] = Ticket{ID: row.ID, Queue: row.Queue, DueAt: row.RunAfter, Timeout: c.timeout(row)}
	}
	err := c.cfg.Dispatcher.Dispatch(ctx, tickets...)
	if err == nil {
		return nil
	}
	failed := make([]uuid.UUID, 0, len(rows))
	reason := cleanText(err.Error(), maxMessageBytes)
	var partly *DispatchError
	isPartly := errors.As(err, &partly)
	for _, row := range rows {
		if isPartly && partly.Failed[row.ID] == nil {
			continue
		}
		row.DispatchError = reason
		failed = append(failed, row.ID)
	}
	c.cfg.Logger.Error("dispatch failed; the rows are stored and the sweeper will dispatch them",
		"tasks", len(failed), "task_id", failed[0], "error", err)
	noteCtx, cancelNote := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.DispatchTimeout)
	defer cancelNote()
	if noteErr := c.cfg.Store.DispatchFailed(noteCtx, reason, failed...); noteErr != nil {
		c.outage.observe(noteErr)
		c.cfg.Logger.Warn("the failed dispatch could not be noted on the rows", "task_id", failed[0], "error", noteErr)
	}
	return err
}

// timeout is what the row, or its task, allows one attempt; 0 when neither does.
func (c *Client) timeout(row *Row) time.Duration {
	if row.Timeout > 0 {
		return row.Timeout
	}
	d, _ := c.registry.lookup(row.Task)
	return d.options.timeout
}
