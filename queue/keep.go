package queue

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Retention is how long an ended row is kept, in whole seconds.
type Retention struct {
	Successful time.Duration // also CANCELLED
	Failed     time.Duration
}

// LongestKeep bounds both durations of [Keep].
const LongestKeep = 50 * 365 * 24 * time.Hour

// KeptForRepeats is how long a row with [Keep] is kept at least: after its end, and after
// the time for which it was last dispatched. So long a repeated delivery or enqueue finds
// it, and is answered as for any ended task.
const KeptForRepeats = 10 * time.Minute

// Keep is how long the task's row is kept after its end, by the database's clock and in
// whole seconds: successful if it has succeeded or was cancelled, failed if it has
// FAILED. Then the sweeper deletes it. A purge deletes it only if both its own age and
// Keep allow that. Without Keep, a row is kept until a purge.
//
// Rows are kept for at least [KeptForRepeats]. With 0, the end of the task drops its
// arguments and its return value at once, and only what else the row has is kept for
// that time; a FAILED task without arguments cannot be retried.
//
// A row whose key is held for a time ([UniqueFor]) is kept until then.
//
// Both durations are from 0 to 50 years. Passed to Enqueue, Keep overrides that of the
// task, and that of the task [Config].Keep. A store that is no [Lifecycle] refuses it.
func Keep(successful, failed time.Duration) Option {
	return func(o *options) { o.keep = &Retention{Successful: successful, Failed: failed} }
}

// Lifecycle is a [Store] that does what rows say about their own end. An enqueue of a
// task with [Keep], [ExpiresAt], [ExpiresIn] or [OnFailed] is refused if the store is none.
//
//   - Each change that ends a row sets its DeleteAt to [Row.KeptUntil], and replaces the
//     arguments and the return value of one that is [Row.Dropped] then.
//   - Claim and Promote cancel rows that are [Row.Expired].
//   - Each change that makes a row FAILED because its worker is lost inserts the row's
//     [Row.Letter] in the same transaction, and Finish inserts [Finish].Letter.
type Lifecycle interface {
	// DeleteKept deletes at most limit ended rows past their DeleteAt, and returns how
	// many: fewer than limit means that no more are there. It skips rows that another
	// transaction has locked.
	DeleteKept(ctx context.Context, limit int) (int, error)
}

// check returns the error of a duration that is out of bounds.
func (r *Retention) check() error {
	for _, d := range []time.Duration{r.Successful, r.Failed} {
		if d < 0 || d > LongestKeep {
			return invalidf("keep must be from 0 to %d years for both ends of the task, not %s", LongestKeep/(365*24*time.Hour), d)
		}
	}
	return nil
}

// checkKeep refuses a retention that is out of bounds, or that the store does not apply.
func (cfg *Config) checkKeep() error {
	if cfg.Keep == nil {
		return nil
	}
	if err := cfg.Keep.check(); err != nil {
		return fmt.Errorf("queue: Config.Keep: %w", err)
	}
	if _, ok := cfg.Store.(Lifecycle); !ok {
		return fmt.Errorf("queue: Config.Keep: %w: %T is no queue.Lifecycle", ErrUnsupported, cfg.Store)
	}
	return nil
}

// rounded returns the retention in whole seconds, rounded up, so that a short one does
// not become none; nil stays nil.
func (r *Retention) rounded() *Retention {
	if r == nil {
		return nil
	}
	up := func(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }
	return &Retention{Successful: up(r.Successful), Failed: up(r.Failed)}
}

// Retention returns how long rows of a task are kept after their end, as the task or
// [Config].Keep says; nil: until a purge.
func (c *Client) Retention(task string) *Retention {
	if c.check() != nil {
		return nil
	}
	d, _ := c.registry.lookup(task)
	return c.retention(&d.options)
}

// retention returns the Keep of a row with these options.
func (c *Client) retention(o *options) *Retention { return cmp.Or(o.keep, c.cfg.Keep).rounded() }

// of returns how long a row is kept that ends with status.
func (r *Retention) of(status Status) time.Duration {
	if status == StatusFailed {
		return r.Failed
	}
	return r.Successful
}

// KeptUntil returns when a row that ends with status at the database's time now is
// deleted; the zero time without Keep. While the row has not ended, its DeleteAt is the
// time of a ticket that its RunAfter no longer shows.
func (r *Row) KeptUntil(status Status, now time.Time) time.Time {
	if r.Keep == nil {
		return time.Time{}
	}
	ticket := now
	for _, at := range []time.Time{r.ticketAt(now), r.DeleteAt} {
		if at.After(ticket) {
			ticket = at
		}
	}
	until := now.Add(r.Keep.of(status))
	for _, least := range []time.Time{ticket.Add(KeptForRepeats), r.UniqueUntil} {
		if least.After(until) {
			until = least
		}
	}
	return until
}

// ticketAt returns the time for which the row has been dispatched, if that may be after
// now. A row in the far future has no ticket yet.
func (r *Row) ticketAt(now time.Time) time.Time {
	if r.RunAfter.After(now.Add(ArmWithin)) {
		return time.Time{}
	}
	return r.RunAfter
}

// KeepTicket sets DeleteAt of a live row with Keep whose RunAfter is about to become
// earlier than the ticket that it has: see [Row.KeptUntil].
func (r *Row) KeepTicket(now time.Time) {
	if at := r.ticketAt(now); r.Keep != nil && at.After(now) && at.After(r.DeleteAt) {
		r.DeleteAt = at
	}
}

// Dropped reports whether the row has ended with a Keep of 0: its Args are
// [DroppedArgs], and it has no ReturnValue.
func (r *Row) Dropped() bool { return r.Keep != nil && r.Status.Final() && r.Keep.of(r.Status) == 0 }

// NotRetried returns why a row that is Dropped cannot be retried, and when it is deleted:
// an error that is [ErrDropped]. It is nil for other rows.
func (r *Row) NotRetried() error {
	if !r.Dropped() {
		return nil
	}
	return fmt.Errorf("%w; a sweep deletes it after %s", ErrDropped, r.DeleteAt.UTC().Format(time.RFC3339))
}

// DroppedArgs returns what is stored instead of arguments that were dropped: a JSON
// string with their SHA-256, by which a repeated enqueue is recognized.
func DroppedArgs(args json.RawMessage) json.RawMessage {
	sum := sha256.Sum256(args)
	return json.RawMessage(`"` + droppedPrefix + hex.EncodeToString(sum[:]) + `"`)
}

const droppedPrefix = "dropped sha256:"

// deleteKeptBudget is how long one sweep deletes rows whose Keep is over.
const deleteKeptBudget = 10 * time.Second

// deleteKept deletes rows whose Keep is over, in batches, until none is left or a part of
// the sweep's time is spent. While tasks run, it pauses after each batch as a purge does.
func (s *sweep) deleteKept(ctx context.Context, limit int) error {
	store, ok := s.client.cfg.Store.(Lifecycle)
	if !ok {
		return nil
	}
	for began := time.Now(); ; {
		batch := time.Now()
		var n int
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			n, err = store.DeleteKept(ctx, limit)
			return err
		})
		s.result.Deleted += n
		if err != nil || n < limit || time.Since(began) >= deleteKeptBudget {
			return err
		}
		if operator, ok := store.(Operator); ok {
			s.client.yieldToTasks(ctx, operator, 2*time.Since(batch))
		}
	}
}

// checkRetained refuses what a store that is no Lifecycle would ignore.
func (c *Client) checkRetained(row *NewRow) error {
	if _, ok := c.cfg.Store.(Lifecycle); ok || row.Keep == nil && row.OnFailed == nil && row.ExpiresAt.IsZero() && row.ExpiresIn == 0 {
		return nil
	}
	return fmt.Errorf("%w: %T is no queue.Lifecycle, which Keep, ExpiresAt, ExpiresIn and OnFailed require", ErrUnsupported, c.cfg.Store)
}
