package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Tx is a transaction of the caller's in the database of the Client's Store:
// what pgstore.Tx makes of a pgx.Tx, and sqlitestore.Tx or mysqlstore.Tx of a *sql.Tx.
type Tx interface {
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
}

// Transactional is the part of [Store] that works within a caller's transaction. A
// [Tx] of another kind of store is refused with [ErrInvalid].
type Transactional interface {
	// InsertTx is Insert as a part of tx, which must be rolled back if it fails. It is
	// [ErrConflict] if tx cannot see, or wait for, the row that holds a UniqueKey.
	// Times are the database's for tx: in PostgreSQL, those of its beginning.
	InsertTx(ctx context.Context, tx Tx, rows ...*NewRow) error
	// FinishTx is Finish as a part of tx: it takes effect with its commit, and
	// keeps the row locked until then.
	FinishTx(ctx context.Context, tx Tx, claim Claim, f Finish) (time.Time, error)
}

// TxReader is a [Store] that also reads within a caller's transaction: what that has
// stored, too. Without it the methods of [Client] that need it return [ErrUnsupported].
type TxReader interface {
	// GetTx is [Store].Get, and ListTx [Operator].List, as a part of tx. They lock nothing.
	GetTx(ctx context.Context, tx Tx, id uuid.UUID) (*Row, error)
	ListTx(ctx context.Context, tx Tx, r ListRequest) (ListPage, error)
}

// GetTx is [Client.Get] as a part of the caller's transaction: it finds what EnqueueTx has
// stored in it. [ErrUnsupported] if the store is no [TxReader].
func (c *Client) GetTx(ctx context.Context, tx Tx, id uuid.UUID) (row *Row, err error) {
	err = c.readTx(tx, func(store TxReader, tx Tx) (err error) {
		row, err = store.GetTx(ctx, tx, id)
		return err
	})
	c.reveal(ctx, row)
	return row, err
}

// ListTx returns a page of rows as a part of the caller's transaction, as
// [Operator].List does, with what EnqueueTx has stored in it. [ErrUnsupported] if the
// store is no [TxReader].
func (c *Client) ListTx(ctx context.Context, tx Tx, r ListRequest) (page ListPage, err error) {
	r.Hidden = c.Registry().ByAnyName(r.Hidden)
	err = c.readTx(tx, func(store TxReader, tx Tx) (err error) {
		page, err = store.ListTx(ctx, tx, r)
		return err
	})
	return page, err
}

func (c *Client) readTx(tx Tx, read func(TxReader, Tx) error) error {
	if err := cmp.Or(c.check(), checkTx(tx)); err != nil {
		return err
	}
	store, ok := c.cfg.Store.(TxReader)
	if !ok {
		return fmt.Errorf("%w: %T does not implement queue.TxReader", ErrUnsupported, c.cfg.Store)
	}
	if managed, ok := tx.(*managedTx); ok {
		tx = managed.Tx
	}
	err := read(store, tx)
	c.availability.observeRead(err)
	return err
}

// EnqueueTx is [Task.EnqueueTx] for a task known by its name only.
func (c *Client) EnqueueTx(ctx context.Context, tx Tx, task string, args any, opts ...Option) (*Handle, error) {
	handles, err := c.EnqueueManyTx(ctx, tx, Request{Task: task, Args: args, Options: opts})
	if err != nil {
		return nil, err
	}
	return handles[0], nil
}

// EnqueueManyTx is [Client.EnqueueMany] as a part of the caller's transaction, as
// [Task.EnqueueTx] is Enqueue's.
func (c *Client) EnqueueManyTx(ctx context.Context, tx Tx, requests ...Request) ([]*Handle, error) {
	if err := cmp.Or(c.check(), checkTx(tx)); err != nil {
		return nil, err
	}
	rows, err := c.newRows(requests)
	if err != nil {
		return nil, err
	}
	own, managed := tx.(*managedTx)
	if !managed && c.managed.has(tx) {
		return nil, invalidf("within InTx, enqueue with the Tx that InTx gives to its function, and not with the one that InTx was called with: nothing would dispatch the task after the commit")
	}
	if managed {
		tx = own.Tx
	} else {
		for _, row := range rows { // the caller may not call Dispatch
			row.WillDispatch = false
		}
	}
	if !c.chains.surrounds(rows) {
		return c.enqueueRowsTx(ctx, tx, own, rows)
	}
	return c.enqueueAround(ctx, rows, func(ctx context.Context, rows []*NewRow) ([]*Handle, error) {
		return c.enqueueRowsTx(ctx, tx, own, rows)
	})
}

// enqueueRowsTx stores new rows in the caller's transaction. own, which may be nil, is to
// dispatch them.
func (c *Client) enqueueRowsTx(ctx context.Context, tx Tx, own *managedTx, rows []*NewRow) ([]*Handle, error) {
	reserved, err := c.checkRoom(ctx, tx, rows)
	if err != nil {
		return nil, err
	}
	ctx, ended := c.enqueuing(ctx, rows)
	if err = c.sealRows(ctx, rows); err == nil {
		err = c.cfg.Store.InsertTx(ctx, tx, rows...)
	}
	handles, err := c.inserted(ctx, rows, err)
	c.freeRoom(reserved, handles)
	ended(err)
	if own != nil {
		own.handles = append(own.handles, handles...)
	}
	return handles, err
}

// managedTx is a transaction that InTx commits, with the tasks to dispatch then.
type managedTx struct {
	Tx
	handles []*Handle
	closed  []uuid.UUID // groups
}

// InTx calls fn, commits tx, and dispatches what fn has enqueued with the Tx that
// it gets. If fn fails or panics, tx is rolled back and nothing is dispatched. The
// caller has begun tx, and writes its own changes through the driver's transaction:
//
//	tx, err := pool.Begin(ctx)
//	…
//	err = client.InTx(ctx, pgstore.Tx(tx), func(q queue.Tx) error {
//		if _, err := tx.Exec(ctx, "INSERT INTO users …"); err != nil {
//			return err
//		}
//		_, err := SendWelcome.EnqueueTx(ctx, client, q, args)
//		return err
//	})
//
// A commit that fails may have taken effect all the same, if the connection was
// lost; the sweeper then dispatches the tasks.
func (c *Client) InTx(ctx context.Context, tx Tx, fn func(tx Tx) error) error {
	if err := cmp.Or(c.check(), checkTx(tx)); err != nil {
		return err
	}
	if _, nested := tx.(*managedTx); nested {
		return invalidf("InTx within InTx would commit the outer transaction: enqueue with the Tx of the outer one")
	}
	own := &managedTx{Tx: tx}
	committed := false
	defer func() {
		if !committed { // fn failed or panicked, or the commit failed
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
			defer cancel()
			_ = tx.Rollback(ctx) // the connection may be lost; then the database does it
		}
	}()
	if err := c.managed.during(tx, func() error { return fn(own) }); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	c.dispatchInserted(ctx, own.handles)
	for _, id := range own.closed {
		c.completeGroup(ctx, id)
	}
	return nil
}

// Identified is a [Tx] with an identity: two of them belong to the same transaction
// if their identities are equal. The stores' Txs implement it.
type Identified interface {
	// Transaction returns a comparable value that no other transaction has until this
	// one has ended.
	Transaction() any
}

// managedTxs are the transactions that InTx will commit.
type managedTxs struct {
	mu    sync.Mutex
	count map[any]int
}

// has reports whether tx is one of them.
func (f *managedTxs) has(tx Tx) bool {
	own, ok := tx.(Identified)
	if !ok {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count[own.Transaction()] > 0
}

// during calls fn while tx is one of them. It is removed before tx ends, since the
// next transaction may have the same identity.
func (f *managedTxs) during(tx Tx, fn func() error) error {
	own, ok := tx.(Identified)
	if !ok {
		return fn()
	}
	key := own.Transaction()
	add := func(n int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.count == nil {
			f.count = make(map[any]int)
		}
		if f.count[key] += n; f.count[key] == 0 {
			delete(f.count, key)
		}
	}
	add(1)
	defer add(-1)
	return fn()
}

// Dispatch dispatches tasks that EnqueueTx stored in a transaction of the caller's.
// Call it after the commit. Failures are logged, recorded on the rows and left to
// the sweeper. It does nothing before the client is ready.
func (c *Client) Dispatch(ctx context.Context, handles ...*Handle) {
	if c.check() == nil {
		c.dispatchInserted(ctx, handles)
	}
}

// CompleteTx ends the running task successfully as a part of the caller's
// transaction: what the task has written in tx and its success become durable
// together, or neither does. The function then commits tx and returns; its own
// return value is ignored. The row is locked until the commit, so commit soon.
//
//	func charge(ctx context.Context, in Charge) (Receipt, error) {
//		tx, err := pool.Begin(ctx)
//		…
//		defer tx.Rollback(ctx)
//		… the charge is written in tx …
//		if err := queue.CompleteTx(ctx, pgstore.Tx(tx), receipt); err != nil {
//			return Receipt{}, err
//		}
//		return receipt, tx.Commit(ctx)
//	}
//
// ctx is the task's own; outside a task the error is [ErrInvalid]. out is the return
// value. [ErrLeaseLost] means that the claim was lost. After any error tx must be
// rolled back; if tx does not commit, the attempt has failed. An out that cannot be
// stored, for example because it is larger than [Config].MaxBytes or than the
// database accepts, is a permanent error ([Discard]).
func CompleteTx(ctx context.Context, tx Tx, out any) error {
	r := runFrom(ctx)
	if r == nil {
		return invalidf("CompleteTx needs the context of a running task")
	}
	if err := checkTx(tx); err != nil {
		return err
	}
	value, err := encode("return value", out)
	if err == nil {
		err = checkResult(value, r.executor.client.cfg.MaxBytes)
	}
	if err == nil {
		value, err = r.executor.client.sealResult(ctx, r.row, value)
	}
	if err == nil {
		err = checkResult(value, r.executor.client.cfg.MaxBytes)
	}
	if err != nil {
		return permanent(hiding(r.row, err))
	}
	if managed, ok := tx.(*managedTx); ok {
		tx = managed.Tx
	}
	r.completed.Store(true)
	_, err = r.executor.store.FinishTx(ctx, tx, r.claim, Finish{Status: StatusSuccessful, ReturnValue: value, Errors: r.restoredErrors(), Report: r.unstored()})
	r.executor.client.availability.observe(err)
	if errors.Is(err, ErrTooLarge) {
		return Discard(fmt.Errorf("complete: %w", err))
	}
	if err != nil {
		return fmt.Errorf("complete: %w", err)
	}
	return nil
}

// errNotCommitted is the failure of a task that called CompleteTx and returned
// without an error, but did not commit.
var errNotCommitted = errors.New("the task called CompleteTx, but its transaction was not committed")

// ifCompleted returns the run of a function whose CompleteTx took effect; nil if
// its transaction did not commit and its claim holds.
func (e *Executor) ifCompleted(ctx context.Context, row *Row) *Run {
	var now *Row
	err := e.persist(ctx, func(ctx context.Context) (err error) {
		now, err = e.store.Get(ctx, row.ID)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound): // finished, and purged
		return &Run{Row: row, Outcome: OutcomeLost, Err: ErrLeaseLost}
	case err != nil:
		return &Run{Row: row, Outcome: OutcomeUnknown, Err: err}
	case now.ClaimID != row.ClaimID:
		return &Run{Row: now, Outcome: OutcomeLost, Err: ErrLeaseLost}
	case now.Status == StatusSuccessful:
		return &Run{Row: now, Outcome: OutcomeSucceeded}
	}
	return nil
}
