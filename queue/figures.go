package queue

import (
	"context"
	"fmt"
	"time"
)

// HourFigures are the outcomes of one hour, and of one type of task in one queue.
//
// An hour has at most [MaxFigures] of them. The outcomes of any further type are added up
// for each queue, with an empty Task; if even those are too many, with an empty Queue and
// Backend as well.
type HourFigures struct {
	Hour    time.Time // its start, UTC
	Task    string
	Queue   string
	Backend string
	Outcomes
}

// MaxFigures is how many types of tasks, each in its queues, an hour's figures tell apart,
// and maxOtherFigures for how many queues the others are added up.
const (
	MaxFigures      = 1000
	maxOtherFigures = 100
)

// FiguresKept is how long figures are kept. Rows that ended longer ago are not counted.
const FiguresKept = 90 * 24 * time.Hour

// FiguresTailLimit is up to how many rows of each status [FigureStore].Figures reads that
// have not been counted yet.
const FiguresTailLimit = 10_000

// FiguresRequest selects figures. An empty name selects all.
type FiguresRequest struct {
	// Since is the beginning of the first hour, and Until the end of the last one:
	// [Client.Figures] truncates and extends them to whole hours. Zero: a day before
	// Until, and the end of the current hour.
	Since, Until         time.Time
	Task, Queue, Backend string
}

// Figures are the outcomes of a period.
type Figures struct {
	// Hours are ordered by Hour, Backend, Queue and Task. An hour without an outcome is
	// left out.
	Hours []HourFigures
	// Through is until when they are complete, by the database's clock: now, or Until. It
	// is earlier where many rows have ended since the sweeper counted last.
	Through time.Time
}

// Total adds up all outcomes.
func (f *Figures) Total() *Outcomes {
	total := new(Outcomes)
	for i := range f.Hours {
		total.Merge(&f.Hours[i].Outcomes)
	}
	return total
}

// GroupFigures adds up the outcomes that have the same key, which key returns.
func GroupFigures[K comparable](hours []HourFigures, key func(*HourFigures) K) map[K]*Outcomes {
	groups := make(map[K]*Outcomes)
	for i := range hours {
		k := key(&hours[i])
		if groups[k] == nil {
			groups[k] = new(Outcomes)
		}
		groups[k].Merge(&hours[i].Outcomes)
	}
	return groups
}

// FigureStore is a [Store] that keeps figures of the tasks that have ended, by hour, which
// outlive the rows. [Client.Sweep] has it count. A Store may leave it out; then
// [Client.Figures] returns [ErrUnsupported].
//
// Each outcome counts once, in the hour of the row's FinishedAt. A row that is deleted,
// or reopened, before it was counted counts all the same: whatever deletes or reopens it
// counts it in the same transaction.
type FigureStore interface {
	// CountFigures counts some of the rows that have ended since the last call, and deletes
	// figures that are older than [FiguresKept]. It reports whether there is more to do.
	// Any number of calls may run at once: one counts, and the others return.
	CountFigures(ctx context.Context) (more bool, err error)

	// Figures returns figures from r.Since, which is the beginning of an hour, until before
	// r.Until. It includes rows that have ended and are not counted yet, up to
	// [FiguresTailLimit] of each status, those first that ended first.
	Figures(ctx context.Context, r FiguresRequest) (Figures, error)
}

// Figures returns how tasks have ended, and how long they waited and ran, by hour and type
// of task. Sweeps count; what has ended since the last one is included. Errors:
// [ErrInvalid] for a period that does not begin before it ends, or is longer than
// [FiguresKept]; [ErrUnsupported] if the store is no [FigureStore]; and the store's.
func (c *Client) Figures(ctx context.Context, r FiguresRequest) (figures Figures, err error) {
	if err := c.check(); err != nil {
		return Figures{}, err
	}
	store, ok := c.cfg.Store.(FigureStore)
	if !ok {
		return Figures{}, fmt.Errorf("%w: %T does not implement queue.FigureStore", ErrUnsupported, c.cfg.Store)
	}
	if r.Until.IsZero() {
		r.Until = c.now().Truncate(time.Hour).Add(time.Hour)
	}
	if r.Since.IsZero() {
		r.Since = r.Until.Add(-24 * time.Hour)
	}
	r.Since = r.Since.UTC().Truncate(time.Hour)
	r.Until = r.Until.UTC().Add(time.Hour - 1).Truncate(time.Hour)
	switch {
	case !r.Since.Before(r.Until):
		return Figures{}, invalidf("FiguresRequest.Since must be before Until, not %s and %s", r.Since.Format(time.RFC3339), r.Until.Format(time.RFC3339))
	case r.Until.Sub(r.Since) > FiguresKept+time.Hour:
		return Figures{}, invalidf("FiguresRequest must be for at most %d days, not from %s to %s", FiguresKept/(24*time.Hour), r.Since.Format(time.RFC3339), r.Until.Format(time.RFC3339))
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		figures, err = store.Figures(ctx, r)
		return err
	})
	c.availability.observeRead(err)
	return figures, err
}

// figureBudget is the longest time that a sweep, or a purge before it begins, counts
// figures before it leaves the rest to the next sweep.
const figureBudget = 2 * time.Second

// countFigures has the store count figures for a time, and at least once.
func (c *Client) countFigures(ctx context.Context) error {
	store, ok := c.cfg.Store.(FigureStore)
	if !ok {
		return nil
	}
	for began := time.Now(); ; {
		var more bool
		err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			more, err = store.CountFigures(ctx)
			return err
		})
		if err != nil || !more || time.Since(began) >= figureBudget {
			return err
		}
	}
}
