package queue

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Delete removes one task's row with all that it has: arguments, result, errors. The
// audit log records who did it, which actor names. A READY task never runs; its ticket,
// if it has one, is delivered a few times and finds nothing. A RUNNING task is not deleted,
// because its function may still write: then deleted is false, and row is the task as it
// is. Cancel it first. Errors: [ErrNotFound], [ErrLocked], [ErrUnsupported] if the store is
// no [Operator].
func (c *Client) Delete(ctx context.Context, id uuid.UUID, actor string) (row *Row, deleted bool, err error) {
	if _, err := c.Operator(); err != nil {
		return nil, false, err
	}
	row, err = c.Get(ctx, id)
	if err != nil || row.Status == StatusRunning {
		return row, false, err
	}
	done, err := c.Act(ctx, ActRequest{
		Action: ActionDelete, Selection: Selection{IDs: []uuid.UUID{id}}, Limit: 1, Actor: actor, Target: "task " + id.String(),
	}, nil)
	switch {
	case err != nil || done.Done > 0:
		return row, done.Done > 0, err
	case done.Locked > 0:
		return row, false, fmt.Errorf("delete task %s: %w", id, ErrLocked)
	}
	row, err = c.Get(ctx, id) // it was claimed or deleted meanwhile
	return row, false, err
}
