package queue

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue/internal/jsonvalue"
)

func (c *Client) createGroup(ctx context.Context, tx Tx, spec GroupSpec) (*Group, error) {
	store, err := c.grouper()
	if err != nil {
		return nil, err
	}
	g, err := c.newGroup(ctx, spec)
	if err != nil {
		return nil, err
	}
	made := *g
	if tx != nil {
		err = store.CreateGroup(ctx, tx, g)
	} else {
		err = within(ctx, statementTimeout, func(ctx context.Context) error { return store.CreateGroup(ctx, nil, g) })
	}
	c.availability.observe(err)
	if err != nil {
		return nil, fmt.Errorf("create group: %w", err)
	}
	if g.Existed {
		if err := c.sameGroup(ctx, &made, g); err != nil {
			return nil, fmt.Errorf("create group %s: %w", g.ID, err)
		}
	}
	g.client = c
	return g, nil
}

// newGroup checks a spec.
func (c *Client) newGroup(ctx context.Context, spec GroupSpec) (*Group, error) {
	if len(spec.Name) > maxGroupName || cleanText(spec.Name, maxGroupName) != spec.Name {
		return nil, invalidf("name: use up to %d bytes of UTF-8 for the name of a group", maxGroupName)
	}
	g := &Group{ID: spec.ID, Name: spec.Name}
	if g.ID == uuid.Nil {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("create group: %w", err)
		}
		g.ID = id
	}
	var err error
	if g.OnSuccess, err = c.completion(ctx, "on_success", spec.OnSuccess, CompletionID(g.ID, true)); err != nil {
		return nil, err
	}
	g.OnFailure, err = c.completion(ctx, "on_failure", spec.OnFailure, CompletionID(g.ID, false))
	return g, err
}

const maxGroupName = 200

// completion checks what a group enqueues under an ID.
func (c *Client) completion(ctx context.Context, field string, request *Request, id uuid.UUID) (*Completion, error) {
	if request == nil {
		return nil, nil
	}
	var o options
	for _, option := range request.Options {
		option(&o)
	}
	if o.withID || o.delay != 0 || !o.runAfter.IsZero() || o.expiry == "expires_at" || o.unique != nil || o.inGroup {
		return nil, invalidf("%s: the task that a group enqueues runs at once and once: leave out WithID, Delay, RunAfter, ExpiresAt, Unique and InGroup", field)
	}
	row := &NewRow{Row: new(Row)}
	with := *request
	with.Options = append(append([]Option{}, request.Options...), WithID(id), func(o *options) { o.unique = nil })
	if err := c.newRow(row, with, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if err := cmp.Or(checkSealedPrefix(row.Args), c.sealRow(ctx, row)); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return &Completion{
		Task: row.Task, Args: row.Args, Queue: row.Queue, Backend: row.Backend, Priority: row.Priority, MaxAttempts: row.MaxAttempts,
		Timeout: row.Timeout, LimitKey: row.LimitKey, Keep: row.Keep, OnFailed: row.OnFailed, ExpiresIn: row.ExpiresIn,
	}, nil
}

// sameGroup returns the error of a group that was created before otherwise.
func (c *Client) sameGroup(ctx context.Context, made, stored *Group) error {
	if stored.Name != made.Name {
		return ErrGroupExists
	}
	return cmp.Or(c.sameCompletion(ctx, CompletionID(stored.ID, true), made.OnSuccess, stored.OnSuccess),
		c.sameCompletion(ctx, CompletionID(stored.ID, false), made.OnFailure, stored.OnFailure))
}

// sameCompletion returns an error unless both enqueue the same under an ID, once they are
// decrypted.
func (c *Client) sameCompletion(ctx context.Context, id uuid.UUID, made, stored *Completion) error {
	if made == nil || stored == nil || made.Task != stored.Task {
		if made == stored {
			return nil
		}
		return ErrGroupExists
	}
	row := &Row{ID: id, Task: made.Task}
	a, err := openWith(ctx, c.cfg.Codec, row, argsKind, made.Args)
	b, storedErr := openWith(ctx, c.cfg.Codec, row, argsKind, stored.Args)
	switch err := cmp.Or(err, storedErr); {
	case err != nil:
		return &unreadableGroupError{err}
	case !jsonvalue.Equal(a, b):
		return ErrGroupExists
	}
	return nil
}

// unreadableGroupError is ErrGroupExists of a group whose tasks could not be compared.
type unreadableGroupError struct{ err error }

func (e *unreadableGroupError) Error() string {
	return "a group with this id exists already, and what it enqueues cannot be compared: " + e.err.Error()
}

func (e *unreadableGroupError) Unwrap() error { return e.err }

func (e *unreadableGroupError) Is(target error) bool { return target == ErrGroupExists }
