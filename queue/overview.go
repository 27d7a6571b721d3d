package queue

import (
	"context"
	"fmt"
	"time"
)

// OverviewRequest selects what an [Overview] has.
type OverviewRequest struct {
	// Since divides the FAILED rows of [FailureGroup].Recent from older ones. It does not
	// exclude any.
	Since time.Time
	// Groups is how many groups of failures there are at most, the largest first.
	Groups int
}

// Overview is the statistics of all queues and the groups of all FAILED rows, as of one
// moment of the database, so that their numbers agree.
type Overview struct {
	Queues   []QueueStats
	Failures []FailureGroup // of the latest FailuresWindow FAILED rows
	// Separate: the store is no [Overviewer], so that Failures were read shortly after
	// Queues.
	Separate bool
}

// Overviewer is an [Operator] that reads an [Overview] at one moment. A Store may leave it
// out.
type Overviewer interface {
	Overview(ctx context.Context, r OverviewRequest) (Overview, error)
}

// Overview returns the statistics of all queues and the groups of all FAILED rows, at one
// moment if the store is an [Overviewer]. [ErrUnsupported] if it is no [Operator].
func (c *Client) Overview(ctx context.Context, r OverviewRequest) (o Overview, err error) {
	operator, err := c.Operator()
	if err != nil {
		return Overview{}, err
	}
	if r.Groups <= 0 {
		return Overview{}, fmt.Errorf("%w: OverviewRequest.Groups must be positive, not %d", ErrInvalid, r.Groups)
	}
	err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		if store, ok := operator.(Overviewer); ok {
			o, err = store.Overview(ctx, r)
			return err
		}
		o, err = separateOverview(ctx, operator, r)
		return err
	})
	c.availability.observeRead(err)
	return o, err
}

// separateOverview reads the parts of an overview one after the other.
func separateOverview(ctx context.Context, operator Operator, r OverviewRequest) (o Overview, err error) {
	o.Separate = true
	if o.Queues, err = operator.Queues(ctx); err != nil {
		return Overview{}, err
	}
	if o.Failures, err = operator.Failures(ctx, time.Unix(0, 0), r.Groups); err != nil {
		return Overview{}, err
	}
	recent, err := operator.Failures(ctx, r.Since, r.Groups)
	for i := range o.Failures {
		o.Failures[i].Recent = 0
		for _, g := range recent {
			if g.Task == o.Failures[i].Task && g.Group == o.Failures[i].Group {
				o.Failures[i].Recent = g.Count
			}
		}
	}
	return o, err
}
