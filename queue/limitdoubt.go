package queue

import (
	"context"
	"fmt"
	"strings"
)

// checkKeys refuses a limit of each key whose task has no keys: it would limit nothing.
func (r *Registry) checkKeys(l Limit) error {
	if l.Kind != LimitEach {
		return nil
	}
	d, known := r.lookup(l.Name)
	if !known {
		return r.unknownTask(l.Name)
	}
	return d.checkKeys(l)
}

// checkKeys is that of Registry, for a limit of the task.
func (d *definition) checkKeys(l Limit) error {
	if l.Kind != LimitEach || d.options.limitKey != nil {
		return nil
	}
	return invalidf("task %s needs LimitKey, which derives the keys that LimitRunningEach, LimitStartsEach and limits of the kind %q count", d.name, LimitEach)
}

// LimitDoubt says in a sentence why a limit seems to limit nothing, for a warning: as far as
// this program knows, no task has this name, queue or limit key. Empty: there is no doubt.
func (c *Client) LimitDoubt(ctx context.Context, l Limit) string {
	if c.check() != nil {
		return ""
	}
	if l.Kind == LimitQueue {
		if known, err := c.KnowsQueue(ctx, l.Name); err != nil || known {
			return ""
		}
		return fmt.Sprintf("no task of this program, no allow-list and no recent task has the queue %s: is the name right?", l.Name)
	}
	d, registered := c.registry.lookup(l.Name)
	switch {
	case l.Kind == LimitEach && !registered:
		return c.registry.unknownTask(l.Name).Error()
	case l.Kind == LimitEach && d.options.limitKey == nil:
		return fmt.Sprintf("task %s has no LimitKey: its tasks have no limit keys but those that Enqueue and schedules give them, and this limit counts no others", l.Name)
	case registered || l.Kind == LimitEach:
		return ""
	}
	return c.keyDoubt(ctx, l.Name)
}

// keyDoubt is LimitDoubt of a name that no task has: it may be a limit key, which cannot be
// looked up.
func (c *Client) keyDoubt(ctx context.Context, name string) string {
	if known, err := c.KnowsQueue(ctx, name); err == nil && known {
		return fmt.Sprintf("no task has the name %s, which is that of a queue: the limit of a queue is another one", name)
	}
	if near := c.registry.near(name); len(near) > 0 {
		return fmt.Sprintf("no task of this program has the name %s: did you mean %s? The limit counts tasks with this limit key", name, strings.Join(near, ", "))
	}
	for _, d := range c.registry.byName {
		if d.options.limitKey != nil {
			return ""
		}
	}
	return fmt.Sprintf("no task of this program has the name %s, and none has a LimitKey: is the name right?", name)
}
