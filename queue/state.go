package queue

import (
	"context"
	"fmt"
)

// StateKeeper is a [Store] that keeps small documents for what runs beside the queue, such
// as package server/notice, so that of several processes one does a thing. No task depends
// on it. Its methods are as safe for concurrent use as those of [Store], and return the
// same errors.
type StateKeeper interface {
	// State returns the document of a name, and its version: 0 if there is none.
	State(ctx context.Context, name string) (document []byte, version int64, err error)
	// SetState stores a document of at most MaxState bytes, if its version is still the
	// one that State returned, and reports whether it was. It does not wait for another
	// transaction that has changed it.
	SetState(ctx context.Context, name string, document []byte, version int64) (stored bool, err error)
}

// Limits of what a [StateKeeper] keeps.
const (
	MaxState     = 256 << 10 // bytes of a document
	MaxStateName = 100       // bytes of its name
)

// State returns a document of the client's store and its version: 0 if there is none.
// [ErrUnsupported] if the store is no [StateKeeper].
func (c *Client) State(ctx context.Context, name string) (document []byte, version int64, err error) {
	store, err := c.stateKeeper(name)
	if err != nil {
		return nil, 0, err
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		document, version, err = store.State(ctx, name)
		return err
	})
	c.availability.observeRead(err)
	return document, version, err
}

// SetState stores a document in the client's store if its version is still the one that
// State returned, and reports whether it was. [ErrUnsupported] if the store is no
// [StateKeeper], [ErrTooLarge] for more than [MaxState] bytes.
func (c *Client) SetState(ctx context.Context, name string, document []byte, version int64) (stored bool, err error) {
	store, err := c.stateKeeper(name)
	if err != nil {
		return false, err
	}
	if len(document) > MaxState {
		return false, fmt.Errorf("%w: the document %s has %d bytes, and at most %d are kept", ErrTooLarge, name, len(document), MaxState)
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		stored, err = store.SetState(ctx, name, document, version)
		return err
	})
	c.availability.observe(err)
	return stored, err
}

func (c *Client) stateKeeper(name string) (StateKeeper, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if name == "" || len(name) > MaxStateName {
		return nil, invalidf("name must have 1 to %d bytes, not %d", MaxStateName, len(name))
	}
	store, ok := c.cfg.Store.(StateKeeper)
	if !ok {
		return nil, fmt.Errorf("%w: %T does not implement queue.StateKeeper", ErrUnsupported, c.cfg.Store)
	}
	return store, nil
}
