package queuetest

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// tx is a transaction of the caller's: it has the rows to itself until it ends.
type tx struct {
	store   *Store
	before  map[uuid.UUID]*row // what Rollback restores
	groups  map[uuid.UUID]*group
	figures map[time.Time][]queue.HourFigures
	release func() // nil: it has ended
}

// Begin begins a transaction for queue.Client.InTx, EnqueueTx and CompleteTx. Until
// it ends, other calls wait.
func (s *Store) Begin(ctx context.Context) (queue.Tx, error) {
	release, err := s.acquire(ctx, "begin")
	if err != nil {
		return nil, err
	}
	before := maps.Clone(s.rows)
	for id, r := range before {
		before[id] = &row{*r.copied(), r.hold, r.acted, r.counted}
	}
	return &tx{s, before, s.copiedGroups(), maps.Clone(s.figures), release}, nil
}

// Commit keeps what was done in the transaction.
func (t *tx) Commit(context.Context) error {
	if t.release == nil {
		return errEnded
	}
	t.release()
	t.release = nil
	return nil
}

// Rollback undoes it.
func (t *tx) Rollback(ctx context.Context) error {
	if t.release == nil {
		return errEnded
	}
	t.store.rows, t.store.groups, t.store.figures = t.before, t.groups, t.figures
	return t.Commit(ctx)
}

// Transaction identifies the transaction ([queue.Identified]).
func (t *tx) Transaction() any { return t }

var errEnded = fmt.Errorf("%w: the transaction has ended", queue.ErrInvalid)

// in calls do as a part of a transaction of this store.
func (s *Store) in(t queue.Tx, do func(now time.Time) error) error {
	own, ok := t.(*tx)
	switch {
	case !ok || own.store != s:
		return fmt.Errorf("%w: tx must be what Begin of this store returns, not %T", queue.ErrInvalid, t)
	case own.release == nil:
		return errEnded
	}
	defer s.countMembers()
	return do(s.Now())
}

// withOrIn is in for a transaction, and with for none.
func (s *Store) withOrIn(ctx context.Context, op string, t queue.Tx, do func(now time.Time) error) error {
	if t != nil {
		return s.in(t, do)
	}
	return s.with(ctx, op, do)
}

// InsertTx is Insert as a part of a transaction.
func (s *Store) InsertTx(ctx context.Context, t queue.Tx, rows ...*queue.NewRow) error {
	return s.in(t, func(now time.Time) error { return s.insert(ctx, rows, now) })
}

// FinishTx is Finish as a part of a transaction.
func (s *Store) FinishTx(_ context.Context, t queue.Tx, claim queue.Claim, f queue.Finish) (at time.Time, err error) {
	err = s.in(t, func(now time.Time) error {
		at, err = s.finish(claim, f, now)
		return err
	})
	return at, err
}
