package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Group is a set of tasks. When all of them have succeeded, a task of the group's creation
// is enqueued, and when any of them has FAILED for good or was CANCELLED, another one.
//
// Make one with [Client.CreateGroup], add tasks with [InGroup], and call Close after the
// last one: only a closed group can have succeeded. [Client.EnqueueGroup] does all of it.
type Group struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	// ClosedAt is when the group was closed; zero: tasks may be added.
	ClosedAt time.Time `json:"closed_at,omitzero"`
	// SucceededAt is when the group was found to be closed with all of its tasks
	// SUCCESSFUL, and OnSuccess was enqueued.
	SucceededAt time.Time `json:"succeeded_at,omitzero"`
	// FailedAt is when the first of its tasks was found to have FAILED or to be CANCELLED,
	// and OnFailure was enqueued. It stays when that task is retried.
	FailedAt time.Time `json:"failed_at,omitzero"`
	GroupCounts

	// What is enqueued then, under an ID of [CompletionID]; nil: nothing.
	OnSuccess *Completion `json:"-"`
	OnFailure *Completion `json:"-"`
	// Existed is set by CreateGroup: the group was created before under this ID.
	Existed bool `json:"-"`

	client *Client // which Close uses
}

// GroupCounts are the tasks of a group by their states. Tasks that were deleted after
// their end are counted nevertheless, and one that was deleted before counts as cancelled.
type GroupCounts struct {
	Total      int `json:"total_count"`
	Ready      int `json:"ready_count"`
	Running    int `json:"running_count"`
	Successful int `json:"successful_count"`
	Failed     int `json:"failed_count"`
	Cancelled  int `json:"cancelled_count"`
}

// Unfinished is how many tasks have not ended.
func (n GroupCounts) Unfinished() int { return n.Ready + n.Running }

// GroupState is the state of a [Group].
type GroupState string

// The states of a group.
const (
	GroupOpen      GroupState = "open"      // not closed: tasks may be added
	GroupRunning   GroupState = "running"   // closed, and not all tasks have ended
	GroupSucceeded GroupState = "succeeded" // closed, and all tasks are SUCCESSFUL
	GroupFailed    GroupState = "failed"    // closed, all tasks have ended, and not all are SUCCESSFUL
)

// State returns the state of the group.
func (g *Group) State() GroupState {
	switch {
	case g.ClosedAt.IsZero():
		return GroupOpen
	case g.Unfinished() > 0:
		return GroupRunning
	case g.Successful == g.Total:
		return GroupSucceeded
	}
	return GroupFailed
}

// MaxGroup is how many tasks [Client.EnqueueGroup] accepts.
const MaxGroup = 100_000

// Errors of what is about groups. Test with errors.Is.
var (
	// ErrGroupClosed: no task can be added to the group any more.
	ErrGroupClosed = errors.New("the group is closed, so no task can be added to it: create another group")
	// ErrGroupExists: the ID of a new group is that of another one.
	ErrGroupExists = errors.New("a group with this id exists already, with another name or with other tasks")
	// ErrGroupNotFound: there is no such group.
	ErrGroupNotFound = errors.New("group not found")
	// ErrMemberSucceeded: the group has counted the task as SUCCESSFUL, and its row was
	// deleted since ([NewRow].UnlessSucceeded).
	ErrMemberSucceeded = errors.New("a task of the group has succeeded and was deleted, and must not run again")
)

// InGroup makes the task a member of a group, which must not be closed
// ([ErrGroupClosed], [ErrGroupNotFound]). The group counts it in the transaction that
// stores it; an enqueue that finds its task by its ID ([WithID]) or its key ([Unique])
// adds nothing to the group. It is an option of Enqueue.
func InGroup(id uuid.UUID) Option {
	return func(o *options) { o.group, o.inGroup = id, true }
}

// Completion is a task that a group enqueues. A store keeps it as JSON text.
type Completion struct {
	Task        string          `json:"task"`
	Args        json.RawMessage `json:"args"`
	Queue       string          `json:"queue"`
	Backend     string          `json:"backend"`
	Priority    int             `json:"priority,omitempty"`
	MaxAttempts int             `json:"max_attempts"`
	Timeout     time.Duration   `json:"timeout,omitempty"`
	LimitKey    string          `json:"limit_key,omitempty"`
	Keep        *Retention      `json:"keep,omitempty"`
	OnFailed    *DeadLetter     `json:"on_failed,omitempty"`
	ExpiresIn   time.Duration   `json:"expires_in,omitempty"`
}

// CompletionID is the ID of the task that a group enqueues when all of its tasks have
// succeeded, or when one has not. It makes sure that each is enqueued once.
func CompletionID(group uuid.UUID, success bool) uuid.UUID {
	if success {
		return uuid.NewSHA1(group, []byte("success"))
	}
	return uuid.NewSHA1(group, []byte("failure"))
}

// row returns the row of a completion.
func (to *Completion) row(group uuid.UUID, success bool) *NewRow {
	return &NewRow{ExpiresIn: to.ExpiresIn, Row: &Row{
		ID: CompletionID(group, success), Completes: group,
		Task: to.Task, Queue: to.Queue, Backend: to.Backend, Priority: to.Priority, MaxAttempts: to.MaxAttempts,
		Timeout: to.Timeout, Args: to.Args, LimitKey: to.LimitKey, Keep: to.Keep, OnFailed: to.OnFailed, KeyID: keyOfSealed(to.Args),
	}}
}

// Due returns the rows that [Grouper].CompleteGroup inserts for a group of which succeeded
// says that all of its tasks have succeeded, and failed that any has FAILED or was
// CANCELLED, now or before a retry; and it sets SucceededAt and FailedAt to now where they
// are due. Stores call it under a lock of the group.
func (g *Group) Due(succeeded, failed bool, now time.Time) (rows []*NewRow) {
	if failed && g.FailedAt.IsZero() {
		g.FailedAt = now
		if g.OnFailure != nil {
			rows = append(rows, g.OnFailure.row(g.ID, false))
		}
	}
	if succeeded && g.SucceededAt.IsZero() && !g.ClosedAt.IsZero() {
		g.SucceededAt = now
		if g.OnSuccess != nil {
			rows = append(rows, g.OnSuccess.row(g.ID, true))
		}
	}
	return rows
}

// EncodeCompletion returns a completion as it is stored; empty is NULL.
func EncodeCompletion(c *Completion) string {
	if c == nil {
		return ""
	}
	text, _ := json.Marshal(c) // it has only text, numbers and JSON
	return string(text)
}

// DecodeCompletion reads what EncodeCompletion wrote.
func DecodeCompletion(stored string) (*Completion, error) {
	if stored == "" {
		return nil, nil
	}
	c := new(Completion)
	if err := json.Unmarshal([]byte(stored), c); err != nil {
		return nil, fmt.Errorf("what the group enqueues is no JSON object: %w", err)
	}
	return c, nil
}

// MemberState is how a group counts a task. Its values are stored. A task that is live
// again after it had FAILED remains known as such: OnFailure may not have been enqueued
// yet.
type MemberState int

// The states of members.
const (
	MemberUnfinished      MemberState = 0
	MemberSuccessful      MemberState = 1
	MemberFailed          MemberState = 2
	MemberCancelled       MemberState = 3
	MemberUnfinishedAgain MemberState = 4 // it had FAILED before
	MemberSuccessfulAgain MemberState = 5 // likewise
)

// MemberStateOf returns the state of a member whose task has a status, and that has not
// FAILED before.
func MemberStateOf(status Status) MemberState {
	switch status {
	case StatusSuccessful:
		return MemberSuccessful
	case StatusFailed:
		return MemberFailed
	case StatusCancelled:
		return MemberCancelled
	}
	return MemberUnfinished
}

// Add counts n members of a state.
func (n *GroupCounts) Add(state MemberState, members int) {
	n.Total += members
	switch state {
	case MemberSuccessful, MemberSuccessfulAgain:
		n.Successful += members
	case MemberFailed:
		n.Failed += members
	case MemberCancelled:
		n.Cancelled += members
	default:
		n.Ready += members // of which some may be RUNNING
	}
}

// Grouper is a [Store] that keeps groups. It keeps a record of each member, and its state
// changes in the transaction that ends, reopens or deletes the task, however that is done,
// so that of tasks that end at once each has its own record and none waits for another.
// The record stays when the ended task is deleted, until the group is.
//
// Insert stores rows with a Group as its members, unless the row exists, and otherwise
// fails with [ErrGroupClosed], [ErrGroupNotFound] or, where the row says so,
// [ErrMemberSucceeded]. A group that is closed has all of its
// members: CloseGroup does not overlap with a transaction that adds some.
//
// Its methods are as safe for concurrent use as those of [Store], and return the same
// errors. A Store may leave Grouper out; the methods of [Client] that need it then return
// [ErrUnsupported].
type Grouper interface {
	// CreateGroup stores a group, within tx if that is not nil, and sets its times. If
	// one has the ID already, it is copied over *g, and Existed is set.
	CreateGroup(ctx context.Context, tx Tx, g *Group) error
	// CloseGroup closes a group, within tx if that is not nil; one that is closed stays
	// so. ErrLocked if another transaction is adding tasks, or is closing it.
	CloseGroup(ctx context.Context, tx Tx, id uuid.UUID) error
	// Groups returns a page of groups with their counts, those created last first.
	Groups(ctx context.Context, r GroupsRequest) (GroupsPage, error)
	// GroupMembers returns members of a group in the order of their IDs.
	GroupMembers(ctx context.Context, r MembersRequest) ([]uuid.UUID, error)
	// CompleteGroup inserts the rows that are due ([Group.Due]), after prepare was called
	// with each, and records that. It does nothing, in one statement, if none is due.
	// It does not wait for another transaction that has locked the group: then it fails with
	// ErrLocked.
	CompleteGroup(ctx context.Context, id uuid.UUID, prepare func(*NewRow)) ([]*NewRow, error)
	// DueGroups returns groups for which CompleteGroup has something to do, with greater
	// IDs than after and in the order of their IDs.
	DueGroups(ctx context.Context, after uuid.UUID, limit int) ([]uuid.UUID, error)
	// DeleteGroups deletes at most limit closed groups of which all members have ended, and
	// are deleted, like the rows of CompleteGroup (both [CompletionID]), and nothing has
	// changed since so long ago.
	DeleteGroups(ctx context.Context, age time.Duration, limit int) (int, error)
}

// GroupsRequest requests a page of groups.
type GroupsRequest struct {
	IDs   []uuid.UUID // only these; empty: all
	After string      // GroupsPage.Next of the page before; empty: from the start
	Limit int         // groups in the page: 1 to 1000
}

// GroupsPage is a page of groups.
type GroupsPage struct {
	Groups []*Group
	Next   string // After of the next page; empty: there is none
}

// MembersRequest requests members of a group.
type MembersRequest struct {
	Group  uuid.UUID
	States []MemberState // in one of these; empty: all
	IDs    []uuid.UUID   // only these; empty: all
	After  uuid.UUID     // only those with a greater ID
	Limit  int
}
