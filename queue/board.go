package queue

import (
	"time"

	"github.com/google/uuid"
)

// TouchSwept is the mark of the sweeper.
const TouchSwept = "swept"

// Bounds of what one look at the board takes.
const (
	ListWindow     = 20_000
	FailuresWindow = 50_000
)

// View is which rows are listed, and in which order.
type View string

// The views. Each has an index that gives its rows in its order.
const (
	ViewAll        View = "all"        // the latest IDs first
	ViewPending    View = "pending"    // READY and claimable, in the order of claims
	ViewDelayed    View = "delayed"    // READY and not due, the next one first
	ViewRunning    View = "running"    // the lease that ends next first
	ViewSuccessful View = "successful" // the latest end first, and so the next two
	ViewFailed     View = "failed"
	ViewCancelled  View = "cancelled"
)

// Views lists the views in the order in which people look at them.
var Views = []View{ViewAll, ViewPending, ViewDelayed, ViewRunning, ViewFailed, ViewSuccessful, ViewCancelled}

// Selection chooses rows; what is empty chooses all.
type Selection struct {
	IDs      []uuid.UUID // at most 1000
	View     View        // empty: ViewAll
	Queue    string
	Backend  string
	Task     string // the whole name, or its beginning and a *
	Priority *int
	// Enqueued at or after Since, and before Until.
	Since, Until time.Time
	Group        string // AttemptError.Group of the last error
	Error        string // part of the last error's type or text, in any case
	Stranded     bool   // READY, and past DispatchDueAt
}

// ListRequest asks for a page.
type ListRequest struct {
	Selection
	Reverse bool   // the view's order the other way around
	After   string // ListPage.Next of the page before; empty: from the start
	Limit   int
}

// ListPage is a page of rows without their Args, ReturnValue and Errors.
type ListPage struct {
	Rows []*Row
	Next string // After of the next page; empty: there is none
	// Partial says that the page ends because ListWindow rows were looked at.
	Partial bool
}

// Action is what can be done to many rows at once.
type Action string

// The actions.
const (
	// ActionRun makes READY rows due now, whatever time they waited for.
	ActionRun Action = "run"
	// ActionRetry makes FAILED rows READY, with at least one attempt left.
	ActionRetry Action = "retry"
	// ActionRequeue takes back RUNNING rows whose lease has expired, whatever
	// attempts are left.
	ActionRequeue Action = "requeue"
	// ActionCancel makes READY and RUNNING rows CANCELLED.
	ActionCancel Action = "cancel"
)

// Actions lists the actions.
var Actions = []Action{ActionRun, ActionRetry, ActionRequeue, ActionCancel}

// QueueStats are figures of one queue.
type QueueStats struct {
	Backend, Queue string
	Pending        int // READY and due
	Delayed        int // READY and not due
	Running        int
	Stranded       int
	OldestSince    time.Time // since when the oldest pending row has been due
	// Ended in the last hour.
	Succeeded, Failed int
}

// HourStats counts the rows that ended within an hour.
type HourStats struct {
	Hour              time.Time // its beginning, UTC
	Succeeded, Failed int
}

// FailureGroup is FAILED rows of one task with the same kind of error.
type FailureGroup struct {
	Task  string
	Group string // AttemptError.Group
	Count int
	Last  time.Time // of the latest
	Error string    // the text of one
}

// AuditEntry is one action of somebody.
type AuditEntry struct {
	ID     uuid.UUID // version 7
	At     time.Time // set by the store
	Actor  string    // who, as far as is known
	Action string
	Task   uuid.UUID // zero: of many
	Target string    // what was chosen, in words
	Done   int       // rows changed
	Failed int       // rows that could not be dispatched, or were locked and not changed
	Ended  bool
}
