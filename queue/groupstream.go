package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/google/uuid"
)

// groupChunk is how many tasks of a stream one transaction stores.
const groupChunk = 1000

// EnqueueGroup creates a group, enqueues the tasks of a stream in it, up to [MaxGroup], and
// closes it. The tasks are stored in chunks of a thousand, each in a transaction, and begin
// to run before the end of the stream. If a chunk is refused, or the stream ends with an error, EnqueueGroup returns
// that error with the group as it is: not closed, so that it never succeeds, and with the
// tasks of the chunks before. The caller can cancel these ([Client.CancelGroup]), add the
// missing tasks, or repeat the call: with spec.ID set, tasks without an ID get one that
// depends on it and on their position, so that a repeated call with the same stream stores
// only what is missing. What has succeeded is not missing, even if it was purged, and a
// group that is closed has all of its tasks: it is returned with Existed, and the stream is
// not read.
func (c *Client) EnqueueGroup(ctx context.Context, spec GroupSpec, tasks iter.Seq2[Request, error]) (*Group, error) {
	g, err := c.CreateGroup(ctx, spec)
	if err != nil {
		return nil, err
	}
	if !g.ClosedAt.IsZero() { // the call is a repeated one
		c.completeGroup(ctx, g.ID)
		existing, err := c.Group(ctx, g.ID)
		if err != nil {
			return nil, err
		}
		existing.Existed = true
		return existing, nil
	}
	s := &groupStream{client: c, group: g, derive: spec.ID != uuid.Nil}
	for request, err := range tasks {
		if err == nil {
			err = s.add(ctx, request)
		}
		if err != nil {
			return s.partial(ctx, err)
		}
	}
	if err := s.flush(ctx); err != nil {
		return s.partial(ctx, err)
	}
	closed, err := c.CloseGroup(ctx, g.ID)
	if err != nil {
		return s.partial(ctx, err)
	}
	closed.Existed = g.Existed
	return closed, nil
}

// EnqueueGroup is [Client.EnqueueGroup] for arguments of one task.
func (t *Task[In, Out]) EnqueueGroup(ctx context.Context, c *Client, spec GroupSpec, in iter.Seq[In], opts ...Option) (*Group, error) {
	return c.EnqueueGroup(ctx, spec, func(yield func(Request, error) bool) {
		for args := range in {
			if !yield(t.Request(args, opts...), nil) {
				return
			}
		}
	})
}

// groupStream enqueues the tasks of a group in chunks.
type groupStream struct {
	client *Client
	group  *Group
	derive bool // IDs from the group's and the position
	chunk  []Request
	total  int
}

// add enqueues a task, or keeps it for the next chunk.
func (s *groupStream) add(ctx context.Context, request Request) error {
	if s.total == MaxGroup {
		return invalidf("a group has at most %d tasks", MaxGroup)
	}
	var opts []Option
	if s.derive {
		opts = append(opts, WithID(s.memberID(s.total)))
	}
	opts = append(opts, request.Options...)
	request.Options = append(opts, InGroup(s.group.ID), func(o *options) { o.once = s.derive })
	s.chunk = append(s.chunk, request)
	if s.total++; len(s.chunk) < groupChunk {
		return nil
	}
	return s.flush(ctx)
}

// memberID is the ID of the task at a position, which a WithID of its own replaces.
func (s *groupStream) memberID(position int) uuid.UUID {
	return uuid.NewSHA1(s.group.ID, binary.BigEndian.AppendUint64(nil, uint64(position))) //nolint:gosec // it is not negative
}

func (s *groupStream) flush(ctx context.Context) error {
	if len(s.chunk) == 0 {
		return nil
	}
	defer func() { s.chunk = s.chunk[:0] }()
	for again := s.group.Existed; ; again = true {
		missing, err := s.chunk, error(nil)
		if again {
			missing, err = s.missing(ctx)
		}
		if err == nil && len(missing) > 0 {
			_, err = s.client.EnqueueMany(ctx, missing...)
		}
		if !errors.Is(err, ErrMemberSucceeded) { // a task that another call has stored, and that was purged since the look
			return err
		}
	}
}

// missing returns the requests of the chunk whose tasks have not succeeded as members
// already: the rows of these may be purged, and would be stored and run again.
func (s *groupStream) missing(ctx context.Context) ([]Request, error) {
	ids := make([]uuid.UUID, len(s.chunk))
	for i, request := range s.chunk {
		var o options
		for _, option := range request.Options {
			option(&o)
		}
		ids[i] = o.id
	}
	done, err := s.client.GroupMembers(ctx, MembersRequest{
		Group: s.group.ID, States: []MemberState{MemberSuccessful, MemberSuccessfulAgain}, IDs: ids, Limit: groupChunk,
	})
	if err != nil {
		return nil, err
	}
	succeeded := make(map[uuid.UUID]bool, len(done))
	for _, id := range done {
		succeeded[id] = true
	}
	missing := make([]Request, 0, len(s.chunk)-len(done))
	for i, request := range s.chunk {
		if !succeeded[ids[i]] {
			missing = append(missing, request)
		}
	}
	return missing, nil
}

// partial returns the group as it is after an error.
func (s *groupStream) partial(ctx context.Context, err error) (*Group, error) {
	now, getErr := s.client.Group(context.WithoutCancel(ctx), s.group.ID)
	if getErr != nil {
		return s.group, fmt.Errorf("group %s: %w", s.group.ID, err)
	}
	if now.ClosedAt.IsZero() {
		return now, fmt.Errorf("group %s is not closed: %w", s.group.ID, err)
	}
	return now, fmt.Errorf("group %s: %w", s.group.ID, err)
}
