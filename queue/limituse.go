package queue

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// LimitUse is a limit, and how much of it is used.
type LimitUse struct {
	Limit
	// Key is the limit key that is counted, of [LimitEach]. Empty: all of them together.
	Key     string
	Active  int           // tasks that run
	Chosen  int           // tasks that wait for their tickets: they are the next to run
	Started int           // starts within the last Per
	Next    time.Duration // until there may be another start, if Started has reached Starts
}

// Reached reports whether the limit lets no other task start now. A limit of each key is
// reached for one key only.
func (u *LimitUse) Reached() bool {
	return !u.spread() && (u.runningReached() || u.startsReached())
}

func (u *LimitUse) spread() bool         { return u.Kind == LimitEach && u.Key == "" }
func (u *LimitUse) runningReached() bool { return u.Running > 0 && u.Active+u.Chosen >= u.Running }
func (u *LimitUse) startsReached() bool  { return u.Starts > 0 && u.Started >= u.Starts }

// Subject describes in words what the limit is of: queue emails, task send, key
// tenant-1, key tenant-1 of task send, each key of task send. task is a name that is
// known to be that of a task.
func (u *LimitUse) Subject(task string) string {
	switch {
	case u.Kind == LimitQueue:
		return "queue " + u.Name
	case u.Kind == LimitEach && u.Key == "":
		return "each key of task " + u.Name
	case u.Kind == LimitEach:
		return "key " + u.Key + " of task " + u.Name
	case u.Name == task:
		return "task " + u.Name
	}
	return "key " + u.Name
}

// Reason describes why the limit is reached: 20 of 20 tasks run. Empty if it is not.
func (u *LimitUse) Reason() string {
	if u.spread() {
		return ""
	}
	var reasons []string
	if u.runningReached() {
		text := fmt.Sprintf("%d of %d tasks run", u.Active, u.Running)
		if u.Chosen > 0 {
			text += fmt.Sprintf(", and %d were chosen to start next", u.Chosen)
		}
		reasons = append(reasons, text)
	}
	if u.startsReached() {
		reasons = append(reasons, fmt.Sprintf("%d of %d starts within %s are used", u.Started, u.Starts, FormatPeriod(u.Per)))
	}
	return strings.Join(reasons, "; ")
}

// FormatPeriod writes a duration as [time.ParseDuration] reads it, without the units that
// are zero: 1m, and not 1m0s.
func FormatPeriod(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// LimitUse returns the limits, ordered by kind and name, and how much of them is used:
// all of them, or with a row those that concern it. [ErrUnsupported] if the store is no
// [Limiter].
func (c *Client) LimitUse(ctx context.Context, row *Row) (use []LimitUse, err error) {
	store, err := c.limiterOrError()
	if err != nil {
		return nil, err
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		use, err = store.LimitUse(ctx, row)
		return err
	})
	c.availability.observeRead(err)
	return use, err
}

// WaitsForLimit reports whether the row was found to be over a limit, and waits without a
// delivery. A row that waits for a rate expects one, and is not among these.
func (r *Row) WaitsForLimit() bool {
	return r.Status == StatusReady && !r.DispatchDueAt.Before(LimitedFrom)
}
