package sqlstore

import (
	"context"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// Dialect is the SQL of one kind of database. What the statements mean is the same
// on both; what a claim or a finish is, is decided in Go.
type Dialect struct {
	// pkg is the package whose Tx makes the transactions.
	pkg string
	// embedded reports that the database is a part of this process.
	embedded bool
	// begin starts a transaction in which rows can be locked.
	begin string
	// lockRow and lockRows follow a SELECT of rows that are to be changed: of one
	// in a caller's transaction, which waits for it, and of any others, which skips
	// those that another transaction has locked. SQLite locks the whole database
	// instead.
	lockRow, lockRows string
	// lockShared follows a SELECT of a gate that must not be changed meanwhile, and waits
	// for it.
	lockShared string
	// lockSharedFree is lockShared that skips a row that another transaction has locked
	// alone.
	lockSharedFree string
	// lockSharedNow follows a SELECT of rows none of which another transaction may have
	// changed: it fails at once.
	lockSharedNow string
	// stillOpen follows an UPDATE that claims rows: their queues must not have been paused
	// since the transaction read the gates. Empty: there is one transaction at a time.
	stillOpen string
	// lockNow follows a SELECT of rows none of which another transaction may have locked:
	// it fails at once.
	lockNow string
	// jsonList is the aggregate function that makes a JSON list.
	jsonList string
	// concat joins values as one text, with spaces between them.
	concat func(values ...string) string
	// likeTask follows a column that a pattern of [Dialect.taskPattern] is compared with.
	likeTask string
	// limited is the condition of the rows that wait for a limit, lane the text of their
	// lane, and laneOrder their order within one.
	limited, lane, laneOrder string
	// admitted is the condition of the rows whose tickets are on their way until
	// admittedUntil.
	admitted, admittedUntil string
	// clock is the database's time in microseconds. Empty: this process is the
	// database, its time a parameter.
	clock string
	// stamp is clock in an INSERT or UPDATE, which then returns the value as its
	// insert ID: see fast.go. Empty: the database has no such function.
	stamp string
	// onDuplicate follows an INSERT, which then does nothing if the ID or the key exists.
	// Empty: it fails, and backend.duplicate knows the error.
	onDuplicate string
	// memberAgain follows an INSERT of members of groups, and makes those that exist
	// unfinished again.
	memberAgain string
	// touch records the current time under a name. Empty: that takes a transaction,
	// which costs nothing where this process is the database.
	touch string
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
	freeKey                            string // the columns of a cursor's time and priority, from the index
	// windowFirst: a subquery with a LIMIT is read to its end, and copied, before the first
	// row of it is known. So a list that narrows a window of rows reads first where it ends.
	windowFirst bool
	readyOf     string // READY, and of the backend that is its parameter
	// readyBackend is the backend of a READY row; other rows have none, or andReady, which
	// follows a condition on it, leaves them out.
	readyBackend, andReady string
	// Rows that expire, and ended rows that are deleted: their indexes, conditions and
	// times.
	expiryIndex, expiring, expiryAt     string
	deleteIndex, deletable, deleteOrder string
	deletedAt                           string // when these rows are deleted, or ended if an old program has ended them
	// Conditions on the time of the second, whose parameter is deleteSign times the time.
	deleteReached, deleteAhead string
	deleteSign                 int64
	// dispatchDue is when a READY row should have been claimed.
	dispatchDue string
	// byID follows the table's name in a change of rows by their IDs.
	byID string
	// holdsKey is the condition of the row of that name which holds a key of a task.
	holdsKey func(row, task, key string) string
	// keyKept is the condition of the rows that hold a key after their end, too.
	keyKept string
	// useIndex follows the table's name where the database's own choice of an index
	// would lock or read rows that are not requested.
	useIndex func(name string) string
}

// SQLite is its dialect: the write lock is that of the whole database, and
// partial indexes serve the conditions.
var SQLite = &Dialect{
	pkg:         "sqlitestore",
	embedded:    true,
	begin:       "BEGIN IMMEDIATE",
	onDuplicate: " ON CONFLICT DO NOTHING",
	memberAgain: " ON CONFLICT (group_id, task_id) DO UPDATE SET state = CASE WHEN claimcheck_group_members.state >= 2 THEN 4 ELSE 0 END",
	batch:       1,
	free:        "status = 'READY' AND hold = 0",
	freeOrder:   "priority DESC, enqueued_at, id",
	freeReverse: "priority, enqueued_at DESC, id DESC",
	freeAfter:   "priority <= :priority AND (priority < :priority OR enqueued_at >= :at AND (enqueued_at > :at OR id > :id))",
	freeBefore:  "priority >= :priority AND (priority > :priority OR enqueued_at <= :at AND (enqueued_at < :at OR id < :id))",
	freeKey:     "enqueued_at, priority",
	held:        "status = 'READY' AND hold = 1",
	heldUntil:   "coalesce(retry_at, run_after)",
	jsonList:    "json_group_array",
	concat:      func(values ...string) string { return strings.Join(values, " || ' ' || ") },
	likeTask:    "GLOB ?",
	limited:     "status = 'READY' AND hold >= 3",
	lane:        "backend_name || '|' || queue_name || '|' || task_path || '|' || coalesce(limit_key, '')",
	laneOrder:   "priority DESC, enqueued_at, id",
	admitted:    "status = 'READY' AND hold = 4", admittedUntil: "dispatch_due_at",
	readyOf: "status = 'READY' AND backend_name = ?", readyBackend: "backend_name", andReady: " AND status = 'READY'",
	dispatchDue:   "dispatch_due_at",
	expiryIndex:   "claimcheck_tasks_expiry",
	expiring:      "expires_at IS NOT NULL AND status = 'READY' AND started_at IS NULL",
	expiryAt:      "expires_at",
	deleteIndex:   "claimcheck_tasks_delete",
	deletable:     "(delete_at IS NOT NULL OR keep_successful IS NOT NULL AND finished_at IS NOT NULL)",
	deletedAt:     "coalesce(delete_at, finished_at)",
	deleteOrder:   "coalesce(delete_at, finished_at)",
	deleteReached: "coalesce(delete_at, finished_at) <= ?",
	deleteAhead:   "coalesce(delete_at, finished_at) > ?",
	deleteSign:    1,
	holdsKey: func(row, task, key string) string {
		return row + ".task_path = " + task + " AND " + row + ".unique_key = " + key +
			" AND (" + row + ".unique_scope = 2 OR " + row + ".unique_scope = 1 AND (" + row + ".status = 'READY' OR " + row + ".status = 'RUNNING'))"
	},
	keyKept:  "unique_scope = 2",
	useIndex: func(name string) string { return " INDEXED BY " + name },
}

// MySQL is the dialect of MySQL and MariaDB: rows are locked one by one, and
// instead of partial indexes there are columns that are NULL for the rows that
// an index is not about.
var MySQL = &Dialect{
	pkg:        "mysqlstore",
	begin:      "START TRANSACTION",
	lockRow:    " FOR UPDATE",
	lockRows:   " FOR UPDATE SKIP LOCKED",
	lockShared: " LOCK IN SHARE MODE", // both servers know this one
	// Each server reads one of the two comments. Both require a version that skips locks.
	lockSharedFree: " /*!80001 FOR SHARE SKIP LOCKED */ /*M! LOCK IN SHARE MODE SKIP LOCKED */",
	lockSharedNow:  " /*!80001 FOR SHARE NOWAIT */ /*M! LOCK IN SHARE MODE NOWAIT */",
	stillOpen:      andNotGated,
	lockNow:        " FOR UPDATE NOWAIT",
	jsonList:       "JSON_ARRAYAGG",
	concat:         func(values ...string) string { return "CONCAT_WS(' ', " + strings.Join(values, ", ") + ")" },
	likeTask:       "LIKE ? ESCAPE '!'",
	limited:        "limit_lane IS NOT NULL",
	lane:           "limit_lane",
	laneOrder:      "limit_order, enqueued_at, id",
	admitted:       "admitted_until IS NOT NULL", admittedUntil: "admitted_until",
	clock:       MySQLClock,
	stamp:       "LAST_INSERT_ID(" + MySQLClock + ")",
	touch:       "INSERT INTO claimcheck_marks (name, at) VALUES (?, " + MySQLClock + ") ON DUPLICATE KEY UPDATE at = VALUES(at)",
	memberAgain: " ON DUPLICATE KEY UPDATE state = CASE WHEN state >= 2 THEN 4 ELSE 0 END",
	batch:       100,
	free:        "claim_order IS NOT NULL",
	freeOrder:   "claim_order, enqueued_at, id",
	freeReverse: "claim_order DESC, enqueued_at DESC, id DESC",
	freeAfter:   "claim_order >= - :priority AND (claim_order > - :priority OR enqueued_at >= :at AND (enqueued_at > :at OR id > :id))",
	freeBefore:  "claim_order <= - :priority AND (claim_order < - :priority OR enqueued_at <= :at AND (enqueued_at < :at OR id < :id))",
	freeKey:     "enqueued_at, -claim_order",
	keyColumns:  ", claim_order, held_until",
	windowFirst: true,
	held:        "held_until IS NOT NULL",
	heldUntil:   "held_until",
	readyOf:     "dispatch_backend = ?", readyBackend: "dispatch_backend", dispatchDue: "dispatch_until",
	byID: " FORCE INDEX (PRIMARY)",
	holdsKey: func(row, task, key string) string {
		return row + ".unique_held = CONCAT(" + task + ", 0x00, " + key + ")"
	},
	keyKept:       "unique_held IS NOT NULL AND unique_scope = 2",
	expiryIndex:   "claimcheck_tasks_retention",
	expiring:      "retention_at > 0",
	expiryAt:      "retention_at",
	deleteIndex:   "claimcheck_tasks_retention",
	deletable:     "retention_at < 0",
	deletedAt:     "-retention_at",
	deleteOrder:   "retention_at DESC",
	deleteReached: "retention_at >= ?", // the column has the negative
	deleteAhead:   "retention_at < ?",
	deleteSign:    -1,
	useIndex:      func(name string) string { return " FORCE INDEX (" + name + ")" },
}

// MySQLClock is the time of MySQL in microseconds.
const MySQLClock = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"

// taskPattern returns a pattern of task names in the form of likeTask.
func (d *Dialect) taskPattern(pattern string) string {
	if d.embedded {
		return strings.NewReplacer("[", "[[]", "?", "[?]").Replace(pattern)
	}
	return storekit.TaskPattern(pattern, "%", "%_!", "!")
}

// Backend is the driver's side of a Store: its errors, its migrations and its
// connections.
type Backend interface {
	// Name names the database in messages.
	Name() string
	// Translate makes the driver's errors those of package queue; others pass.
	Translate(ctx context.Context, op string, err error) error
	// Duplicate reports whether a statement failed because the ID, or the key, exists.
	Duplicate(err error) bool
	// DuplicateID reports whether it was the ID.
	DuplicateID(err error) bool
	// MayRepeat reports whether the database undid a transaction only because
	// another one was in the way.
	MayRepeat(err error) bool
	// Locked reports whether a statement failed because of a lock that it does not wait
	// for, or has waited for.
	Locked(err error) bool
	// Changed reports whether a row has changed since the transaction's snapshot,
	// which its isolation level does not allow.
	Changed(err error) bool
	// Broken reports whether the connection is lost, or must not be used again
	// because another one may be better.
	Broken(err error) bool
	// TableMissing reports whether a table or column does not exist.
	TableMissing(err error) bool
	// Forbidden reports whether the user, or the file, does not allow a statement.
	Forbidden(err error) bool
	// Migrations are the steps of the schema.
	Migrations() storekit.Migrations
	// LockMigrations keeps other processes out.
	LockMigrations(ctx context.Context) (unlock func(), err error)
	// Accepted reports whether a connection was made once.
	Accepted() bool
	// Wait waits, when the Store is closed, for what runs in the background.
	Wait()
}
