package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// audit stores an entry of the audit log and returns when it was made.
func (c *Client) audit(ctx context.Context, store Operator, e AuditEntry) (time.Time, error) {
	e.Actor, e.Target = cleanText(e.Actor, 200), cleanText(e.Target, 1000)
	var at time.Time
	err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		at, err = store.RecordAudit(ctx, e)
		return err
	})
	c.availability.observe(err)
	return at, err
}

// RecordAudit stores an action on one task in the audit log: who did what. actor is
// cut to 200 bytes, target to 1000. [ErrUnsupported] if the store is no [Operator].
func (c *Client) RecordAudit(ctx context.Context, actor, action string, task uuid.UUID, target string) error {
	store, err := c.Operator()
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("record audit: %w", err)
	}
	_, err = c.audit(ctx, store, AuditEntry{ID: id, Actor: actor, Action: action, Task: task, Target: target, Done: 1, Ended: true})
	return err
}

// auditDone stores an action that is done, if the store has an audit log; if that fails,
// the action still counts.
func (c *Client) auditDone(ctx context.Context, actor, action, target string) {
	err := c.RecordAudit(context.WithoutCancel(ctx), actor, action, uuid.Nil, target)
	if err != nil && !errors.Is(err, ErrUnsupported) {
		c.cfg.Logger.Warn("an action is missing in the audit log", "action", action, "target", target, "actor", actor, "error", err)
	}
}
