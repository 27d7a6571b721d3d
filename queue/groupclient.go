package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// GroupSpec is a group to be created. Its zero value has no tasks of its own, and can be
// counted, closed and cancelled nevertheless.
type GroupSpec struct {
	// ID makes the creation repeatable; zero: a new one.
	ID uuid.UUID
	// Name is for people: up to 200 bytes. It need not be unique.
	Name string
	// OnSuccess is enqueued, once, when the group is closed and all of its tasks are
	// SUCCESSFUL, of an empty group at once. OnFailure is enqueued when the first task has FAILED or was CANCELLED,
	// whether the group is closed or not: once, also if that task is retried; then
	// OnSuccess may follow. Each gets the arguments that are given here, and finds the
	// group's ID in [Info].Group. Options may be those of NewTask but UniqueBy and
	// UniqueArgs; nil: nothing is enqueued.
	OnSuccess, OnFailure *Request
}

// Request returns a request for [Client.EnqueueMany], [Client.EnqueueGroup] or a
// [GroupSpec], with its types checked at compile time.
func (t *Task[In, Out]) Request(in In, opts ...Option) Request {
	return Request{Task: t.def.name, Args: in, Options: opts}
}

// grouper returns the client's store as a [Grouper], or [ErrUnsupported].
func (c *Client) grouper() (Grouper, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	store, ok := c.cfg.Store.(Grouper)
	if !ok {
		return nil, fmt.Errorf("%w: %T does not implement queue.Grouper", ErrUnsupported, c.cfg.Store)
	}
	return store, nil
}

// CreateGroup creates a group, to which tasks can be added until [Group.Close]. With an ID
// that exists it returns the group that has it ([Group].Existed), or [ErrGroupExists] if
// that has another name or enqueues something else. Further errors: [ErrInvalid] and
// [ErrUnsupported].
func (c *Client) CreateGroup(ctx context.Context, spec GroupSpec) (*Group, error) {
	return c.createGroup(ctx, nil, spec)
}

// CreateGroupTx is [Client.CreateGroup] as a part of the caller's transaction, in which
// EnqueueTx can then add tasks.
func (c *Client) CreateGroupTx(ctx context.Context, tx Tx, spec GroupSpec) (*Group, error) {
	if err := cmp.Or(c.check(), checkTx(tx)); err != nil {
		return nil, err
	}
	return c.createGroup(ctx, callersTx(tx), spec)
}

// callersTx returns the transaction that a store knows.
func callersTx(tx Tx) Tx {
	if managed, ok := tx.(*managedTx); ok {
		return managed.Tx
	}
	return tx
}

// Close closes the group: no task can be added to it any more, and when all of its tasks
// have succeeded, as they may have already, OnSuccess is enqueued. A closed group stays
// so. Errors: [ErrGroupNotFound], and [ErrLocked] while another transaction is adding tasks.
// It refreshes neither the times nor the counts of g.
func (g *Group) Close(ctx context.Context) error {
	if g.client == nil {
		return invalidf("this Group was not returned by a Client: call Client.CloseGroup")
	}
	_, err := g.client.CloseGroup(ctx, g.ID)
	return err
}

// CloseGroup closes a group, as [Group.Close] does, and returns it.
func (c *Client) CloseGroup(ctx context.Context, id uuid.UUID) (*Group, error) {
	store, err := c.grouper()
	if err != nil {
		return nil, err
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) error { return store.CloseGroup(ctx, nil, id) })
	c.availability.observe(err)
	if err != nil {
		return nil, fmt.Errorf("close group %s: %w", id, err)
	}
	c.completeGroup(ctx, id)
	return c.Group(ctx, id)
}

// CloseGroupTx closes a group as a part of the caller's transaction. The sweeper enqueues
// OnSuccess if all tasks have succeeded by the commit.
func (c *Client) CloseGroupTx(ctx context.Context, tx Tx, id uuid.UUID) error {
	store, err := c.grouper()
	if err := cmp.Or(err, checkTx(tx)); err != nil {
		return err
	}
	err = store.CloseGroup(ctx, callersTx(tx), id)
	c.availability.observe(err)
	if err != nil {
		return fmt.Errorf("close group %s: %w", id, err)
	}
	if managed, ok := tx.(*managedTx); ok {
		managed.closed = append(managed.closed, id)
	}
	return nil
}

// Group returns a group with its counts, or [ErrGroupNotFound].
func (c *Client) Group(ctx context.Context, id uuid.UUID) (*Group, error) {
	page, err := c.Groups(ctx, GroupsRequest{IDs: []uuid.UUID{id}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(page.Groups) == 0 {
		return nil, fmt.Errorf("group %s: %w", id, ErrGroupNotFound)
	}
	return page.Groups[0], nil
}

// Groups returns a page of groups with their counts, those created last first.
func (c *Client) Groups(ctx context.Context, r GroupsRequest) (page GroupsPage, err error) {
	store, err := c.grouper()
	if err != nil {
		return page, err
	}
	if r.Limit < 1 || r.Limit > 1000 || len(r.IDs) > 1000 {
		return page, invalidf("limit must be from 1 to 1000, not %d", r.Limit)
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		page, err = store.Groups(ctx, r)
		return err
	})
	c.availability.observeRead(err)
	for _, g := range page.Groups {
		g.client = c
	}
	return page, err
}

// GroupMembers returns the IDs of members of a group in the order of the IDs. The tasks of
// some may be deleted.
func (c *Client) GroupMembers(ctx context.Context, r MembersRequest) (ids []uuid.UUID, err error) {
	store, err := c.grouper()
	if err != nil {
		return nil, err
	}
	if r.Limit < 1 || r.Limit > 1000 || len(r.IDs) > 1000 {
		return nil, invalidf("limit must be from 1 to 1000, not %d, and at most 1000 IDs can be given, not %d", r.Limit, len(r.IDs))
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		ids, err = store.GroupMembers(ctx, r)
		return err
	})
	c.availability.observeRead(err)
	return ids, err
}

// unfinishedStates are those of members that have not ended.
var unfinishedStates = []MemberState{MemberUnfinished, MemberUnfinishedAgain}

// cancelBatch is how many members CancelGroup cancels with one action.
const cancelBatch = 1000

// CancelGroup cancels the tasks of a group that have not ended, as [Client.Cancel] does for
// one, and returns how many. It does not close the group: tasks that are added meanwhile
// may be left. Locked tasks are left as they are, and counted in ActionResult.Locked. It
// stops when ctx ends; ActionResult.More then is true. progress is as in [Client.Act], and
// so is the audit log, which records actor. Errors: [ErrGroupNotFound], [ErrUnsupported].
func (c *Client) CancelGroup(ctx context.Context, id uuid.UUID, actor string, progress func(done int)) (total ActionResult, err error) {
	if _, err := c.Operator(); err != nil {
		return total, err
	}
	if _, err := c.Group(ctx, id); err != nil {
		return total, err
	}
	r := MembersRequest{Group: id, States: unfinishedStates, Limit: cancelBatch}
	for {
		ids, err := c.GroupMembers(ctx, r)
		if err != nil || len(ids) == 0 {
			return total, err
		}
		before := total.Done
		done, err := c.Act(ctx, ActRequest{
			Action: ActionCancel, Selection: Selection{IDs: ids}, Actor: actor, Target: "tasks of group " + id.String(),
		}, func(done int) {
			if progress != nil {
				progress(before + done)
			}
		})
		total.Done, total.Locked, total.More = total.Done+done.Done, total.Locked+done.Locked, done.More
		if err != nil || done.More {
			return total, err
		}
		r.After = ids[len(ids)-1]
	}
}

// checkGroup refuses members where the store keeps no groups.
func (c *Client) checkGroup(o *options) error {
	if !o.inGroup {
		return nil
	}
	if o.group == uuid.Nil {
		return invalidf("group_id must be a UUID that is not all zeros")
	}
	_, err := c.grouper()
	return err
}

// deleteGroups deletes what a purge leaves of groups.
func (c *Client) deleteGroups(ctx context.Context, r PurgeRequest) error {
	store, err := c.grouper()
	if errors.Is(err, ErrUnsupported) || r.Task != "" {
		return nil
	}
	const batch = 100
	for n := batch; err == nil && n == batch && ctx.Err() == nil; {
		err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			n, err = store.DeleteGroups(ctx, r.Age, batch)
			return err
		})
	}
	return err
}
