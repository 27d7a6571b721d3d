package queue

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Handle is a stored task, as Enqueue returns it.
type Handle struct {
	ID  uuid.UUID
	Row *Row // as stored; do not change it
	// Existed reports that the same task was stored under this ID before ([WithID]), or
	// that a row, which is the handle's, holds its key ([Unique]).
	Existed bool
	// Warnings list fields of the arguments that the task's type does not have, so
	// that the task runs without them: at most five. [StrictArgs] refuses such
	// arguments.
	Warnings []string
}

// Request is one task to be enqueued by its name.
type Request struct {
	Task string
	// Args is anything that encoding/json encodes; a json.RawMessage is stored as
	// it is, compacted. Nil is JSON's null.
	Args    any
	Options []Option
}

// Enqueue is [Task.Enqueue] for a task known by its name only. A name that is not
// registered is [ErrInvalid].
func (c *Client) Enqueue(ctx context.Context, task string, args any, opts ...Option) (*Handle, error) {
	handles, err := c.EnqueueMany(ctx, Request{Task: task, Args: args, Options: opts})
	if err != nil {
		return nil, err
	}
	return handles[0], nil
}

// EnqueueMany stores all requests in one transaction, or none of them, and then
// dispatches them. The handles are in the order of the requests. An error that is
// [ErrInvalid], [ErrIDConflict] or [ErrDuplicate] is a [*RequestError] that names the
// request.
func (c *Client) EnqueueMany(ctx context.Context, requests ...Request) ([]*Handle, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	rows, err := c.newRows(requests)
	if err != nil {
		return nil, err
	}
	if c.chains.surrounds(rows) {
		return c.enqueueAround(ctx, rows, c.enqueueRows)
	}
	return c.enqueueRows(ctx, rows)
}

// enqueueAround calls enqueue inside of the middleware.
func (c *Client) enqueueAround(ctx context.Context, rows []*NewRow, enqueue func(context.Context, []*NewRow) ([]*Handle, error)) (handles []*Handle, err error) {
	err = c.chains.around(ctx, rows, func(ctx context.Context) (err error) {
		handles, err = enqueue(ctx, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return handles, nil
}

// enqueueRows stores and dispatches new rows.
func (c *Client) enqueueRows(ctx context.Context, rows []*NewRow) ([]*Handle, error) {
	reserved, err := c.checkRoom(ctx, nil, rows)
	if err != nil {
		return nil, err
	}
	ctx, ended := c.enqueuing(ctx, rows)
	limit := statementTimeout * time.Duration(1+len(rows)/1000)
	if err = c.sealRows(ctx, rows); err == nil {
		err = within(ctx, limit, func(ctx context.Context) error { return c.cfg.Store.Insert(ctx, rows...) })
	}
	handles, err := c.inserted(ctx, rows, err)
	c.freeRoom(reserved, handles)
	if err == nil {
		c.dispatchInserted(ctx, handles)
	}
	ended(err)
	return handles, err
}

// newRows checks all requests and makes their rows, in one allocation.
func (c *Client) newRows(requests []Request) ([]*NewRow, error) {
	rows := make([]*NewRow, len(requests))
	made := make([]struct {
		new NewRow
		row Row
	}, len(requests))
	random := randomness(len(requests))
	for i, request := range requests {
		made[i].new.Row = &made[i].row
		rows[i] = &made[i].new
		if err := c.newRow(rows[i], request, random); err != nil {
			return nil, &RequestError{Index: i, Err: err}
		}
	}
	return rows, nil
}

// randomness reads random bytes from the system for up to n UUIDs at a time: one
// read for each would cost more than everything else about a row.
func randomness(n int) io.Reader {
	if n == 1 {
		return rand.Reader
	}
	const batch = 256
	return bufio.NewReaderSize(rand.Reader, min(n, batch)*len(uuid.UUID{}))
}

// inserted returns the handles of rows, or the error for the caller, after an insert
// that ended with err.
func (c *Client) inserted(ctx context.Context, rows []*NewRow, err error) ([]*Handle, error) {
	c.availability.observe(err)
	var conflict *IDConflictError
	if errors.As(err, &conflict) {
		last := len(rows) - 1 // of several with this ID, the last one conflicts
		for rows[last].ID != conflict.ID && last > 0 {
			last--
		}
		for i, row := range rows[:last] {
			if row.ID == conflict.ID && !rows[last].Matches(ctx, row.Row) {
				conflict = &IDConflictError{ID: conflict.ID, Earlier: i + 1}
				break
			}
		}
		if conflict.Earlier == 0 {
			conflict = c.whyConflict(ctx, rows[last].Task, conflict)
		}
		return nil, &RequestError{Index: last, Err: conflict}
	}
	var duplicate *DuplicateError
	if errors.As(err, &duplicate) {
		index := slices.IndexFunc(rows, func(r *NewRow) bool { return r.ID == duplicate.ID })
		c.reveal(ctx, duplicate.Row)
		return nil, &RequestError{Index: index, Err: c.duplicateOf(ctx, rows, duplicate)}
	}
	if refused := (*RequestError)(nil); errors.As(err, &refused) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	c.revealRows(ctx, rows)
	handles, made := make([]*Handle, len(rows)), make([]Handle, len(rows))
	for i, row := range rows {
		made[i] = Handle{ID: row.ID, Row: row.Row, Existed: row.Existed, Warnings: row.warnings}
		handles[i] = &made[i]
	}
	return handles, nil
}

// whyConflict decrypts the row that has the ID, and says whether it could be compared.
func (c *Client) whyConflict(ctx context.Context, task string, stored *IDConflictError) *IDConflictError {
	conflict := &IDConflictError{ID: stored.ID, Row: stored.Row}
	row := conflict.Row
	if c.reveal(ctx, row); row == nil || row.Task != task {
		return conflict
	}
	if row.Unreadable == "" && row.Dropped() && !c.Knows(row) { // their hash is of what was encrypted
		row.Unreadable = unknownKey(row.KeyID).Error()
	}
	if row.Unreadable != "" {
		conflict.KeyID = row.KeyID
	}
	return conflict
}

// duplicateOf says whether the row that holds the key is of the same call, which was rolled
// back.
func (c *Client) duplicateOf(ctx context.Context, rows []*NewRow, duplicate *DuplicateError) *DuplicateError {
	i := slices.IndexFunc(rows, func(r *NewRow) bool { return r.ID == duplicate.Row.ID })
	if i < 0 {
		return duplicate
	}
	if !rows[i].FreshID { // the call may have met the row under its ID
		_, err := c.Get(ctx, rows[i].ID)
		if !errors.Is(err, ErrNotFound) {
			return duplicate
		}
	}
	return &DuplicateError{ID: duplicate.ID, Row: duplicate.Row, OnConflict: duplicate.OnConflict, Earlier: i + 1}
}

// dispatchInserted dispatches rows whose transaction has committed.
func (c *Client) dispatchInserted(ctx context.Context, handles []*Handle) {
	now, rows := c.now(), make([]*Row, 0, len(handles))
	var latest map[uuid.UUID]*Handle // of each row, which one call may have stored and then replaced
	if slices.ContainsFunc(handles, func(h *Handle) bool { return h.Existed }) {
		latest = make(map[uuid.UUID]*Handle, len(handles))
		for _, h := range handles {
			latest[h.ID] = h
		}
	}
	for _, h := range handles {
		if hook := c.cfg.Hooks.Enqueued; hook != nil && !h.Existed {
			hook(ctx, h.Row)
		}
		if latest != nil && latest[h.ID] != h {
			continue
		}
		// A repeated enqueue may be one whose first process died before it
		// dispatched; the claim makes a second ticket harmless.
		if h.Row.Status == StatusReady && !h.Row.deferred(now) {
			rows = append(rows, h.Row)
		}
	}
	ticketOf := c.ticket
	if latest != nil {
		ticketOf = func(row *Row) Ticket { return c.ticketAgain(row, latest[row.ID].Existed, now) }
	}
	_ = c.dispatchBy(ctx, batched, rows, ticketOf) // logged, recorded on the rows and left to the sweeper
}

// ticketAgain is the ticket of a row that an enqueue has stored, or found. If it was found,
// and is due later, the ticket has a name, so that any number of enqueues of one key make
// one ticket for one time. That name is free for as long as the row has the same time and
// this is ahead, unless its ticket was lost. A ticket for a time that has come has no name:
// one of that name may have been delivered while the queue was paused.
func (c *Client) ticketAgain(row *Row, existed bool, now time.Time) Ticket {
	ticket := c.ticket(row)
	if existed && row.RunAfter.After(now) {
		ticket.Name = ticketName(row)
	}
	return ticket
}

// RequestError says which request of an EnqueueMany was refused, and why. Get it
// with errors.As.
type RequestError struct {
	Index int // of the request, counted from 0
	Err   error
}

func (e *RequestError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *RequestError) Unwrap() error { return e.Err }

// newRow checks a request and fills in its row.
func (c *Client) newRow(row *NewRow, request Request, random io.Reader) error {
	d, ok := c.registry.lookup(request.Task)
	if !ok {
		return c.registry.unknownTask(request.Task)
	}
	if d.mustEncrypt() && c.cfg.Codec == nil {
		return invalidf("task %s is to be encrypted (Encrypt), and Config.Codec is nil: it would be stored in plain text", d.name)
	}
	o, err := d.optionsOf(request, c.now())
	if err != nil {
		return err
	}
	if err := c.checkRoute(o.backend, o.queue); err != nil {
		return err
	}
	if err := c.checkTimeout(o.backend, cmp.Or(o.timeout, d.options.timeout)); err != nil {
		return invalidf("timeout: %w", err)
	}
	args, warnings, err := c.encodeArgs(&d, request.Args)
	if err != nil {
		return err
	}
	row.warnings = warnings
	row.FreshID, row.UnlessSucceeded = o.id == uuid.Nil, o.once
	if row.FreshID {
		if o.id, err = uuid.NewV7FromReader(random); err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
	}
	letter, err := c.deadLetter(&o)
	if err := cmp.Or(err, c.checkGroup(&o)); err != nil {
		return err
	}
	wait := o.delay
	if !o.runAfter.IsZero() {
		wait = o.runAfter.Sub(c.now())
	}
	row.Delay, row.ExpiresIn, row.WillDispatch = o.delay, o.expiresIn, c.willDispatch(o.backend, wait)
	*row.Row = Row{
		ID: o.id, Task: request.Task, Queue: o.queue, Backend: o.backend,
		Priority: o.priority, MaxAttempts: o.maxAttempts, Timeout: o.timeout,
		RunAfter: o.runAfter.UTC().Truncate(time.Microsecond), Args: args,
		ExpiresAt: o.expiresAt.UTC().Truncate(time.Microsecond), Keep: c.retention(&o), OnFailed: letter, Group: o.group,
	}
	if row.LimitKey, err = o.limitKey.keyOf(&d, args); err != nil {
		return err
	}
	if o.unique != nil {
		if err := o.unique.set(c, row, &d); err != nil {
			return err
		}
	}
	return c.checkRetained(row)
}

// optionsOf returns the task's options with those of the request, checked. The
// task's own timeout, backoff, aliases and description are left out: only those of the request
// concern the row.
func (d *definition) optionsOf(request Request, now time.Time) (options, error) {
	o := d.options
	o.timeout, o.backoff, o.aliases, o.description, o.strictArgs, o.limits, o.use, o.around, o.encrypt = 0, nil, nil, "", false, nil, nil, nil, nil
	if len(request.Options) == 0 { // the task's own were checked when it was declared
		return o, nil
	}
	return o.with(request.Options, now)
}

// with returns a copy of the options with more of them, checked.
func (o options) with(more []Option, now time.Time) (options, error) {
	for _, option := range more {
		option(&o)
	}
	if err := o.check(now); err != nil {
		return o, err
	}
	if o.backoff != nil || o.aliases != nil || o.strictArgs || o.description != "" {
		return o, invalidf("Backoff, Alias, Description and StrictArgs are options of the task: pass them to NewTask or Declare, not to Enqueue")
	}
	if o.limits != nil {
		return o, invalidf("limits are options of the task: pass LimitRunning, LimitStarts and their kind to NewTask or Declare, not to Enqueue")
	}
	if o.encrypt != nil {
		return o, invalidf("Encrypt is an option of the task: pass it to NewTask or Declare, not to Enqueue")
	}
	if o.use != nil || o.around != nil {
		return o, invalidf("Use and Around are options of the task: pass them to NewTask or Declare, not to Enqueue")
	}
	return o, nil
}
