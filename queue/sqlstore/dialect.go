package sqlstore

import (
	"context"

	"github.com/claimcheck-go/claimcheck/internal/migrate"
)

// dialect is how one kind of database is spoken to. What the statements mean
// is the same on all; what a claim or a finish is stands in Go.
type dialect struct {
	// begin starts a transaction in which rows can be locked.
	begin string
	// lockRow and lockRows follow a SELECT of rows that are to be changed: of one
	// in a caller's transaction, which waits for it, and of any others, which skips
	// those that another transaction has locked. SQLite locks the whole database
	// instead.
	lockRow, lockRows string
	// clock is the database's time in microseconds. Empty: this process is the
	// database, its time a parameter.
	clock string
	// stamp is clock in an INSERT or UPDATE, which then tells the value as its
	// insert ID: see alone.go. Empty: there is no such thing.
	stamp string
	// onDuplicate follows an INSERT, which then does nothing if the ID exists.
	// Empty: it fails, and backend.duplicate knows the error.
	onDuplicate string
	// mark notes under a name that something happened now. Empty: that takes a
	// transaction, which costs nothing where this process is the database.
	mark string
	// batch is how many rows one INSERT may store.
	batch int

	// Conditions on rows that indexes are made for, and their order.
	free      string // READY, and a pull claim may take it now
	freeOrder string
	// freeReverse is the same the other way around; freeAfter and freeBefore are
	// what comes after a cursor in either.
	freeReverse, freeAfter, freeBefore string
	held                               string // READY, and waits for its time
	heldUntil                          string // that time
	keyColumns                         string // what views order by beside columns, to be appended
	readyOf                            string // READY, and of the backend that is its parameter
	// dispatchDue is when a READY row should have been claimed.
	dispatchDue string
	// byID follows the table's name in a change of rows by their IDs.
	byID string
	// useIndex follows the table's name where a choice of the database's own
	// would lock or walk over rows that are not asked for.
	useIndex func(name string) string
}

// backend is the database under a Store.
type backend interface {
	// name says in messages which database this is.
	name() string
	// translate makes the driver's errors those of package queue; others pass.
	translate(ctx context.Context, op string, err error) error
	// duplicate reports whether an INSERT failed since the ID exists.
	duplicate(err error) bool
	// mayRepeat reports whether the database undid a transaction only because
	// another one was in the way.
	mayRepeat(err error) bool
	// broken reports whether the connection is lost, or must not be used again
	// since another one may be better.
	broken(err error) bool
	// tableMissing reports whether a table or column does not exist.
	tableMissing(err error) bool
	// migrations are the steps of the schema.
	migrations() migrate.Set
	// lockMigrations keeps other processes out.
	lockMigrations(ctx context.Context) (unlock func(), err error)
}
