package storetest

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// client is one of those that call at the same time.
type client struct {
	*recorder
	id       int
	store    queue.Store
	operator queue.Operator // may be nil
	rand     *rand.Rand
}

// call does one call, drawn at random.
func (c *client) call() {
	switch n := c.rand.IntN(40); {
	case n < 9:
		c.claim()
	case n < 13:
		c.next()
	case n < 35:
		c.underClaim([]string{"finish", "retry", "heartbeat", "release", "unclaim"}[n%5])
	case n < 37:
		c.get()
	case n < 38:
		c.cancel()
	case n < 39 || c.operator == nil:
		c.promote()
	default:
		c.requeue()
	}
}

func (c *client) row() uuid.UUID { return c.ids[c.rand.IntN(len(c.ids))] }

// length is that of a lease.
func length(lapsed bool) time.Duration {
	if lapsed {
		return -time.Hour
	}
	return time.Hour
}

func (c *client) claim() {
	in := call{op: "claim", fence: queue.NewClaimID(), lapsed: c.rand.IntN(2) == 0, again: c.rand.IntN(2) == 0}
	id, sent := c.row(), time.Since(c.start)
	row, err := c.store.Claim(c.ctx, id, queue.ClaimRequest{
		Tasks: []string{c.task}, Worker: "w", Lease: length(in.lapsed), ClaimID: in.fence, AllowRetry: in.again,
	})
	out, other := refusal(err)
	if other != nil {
		c.fail("Claim", other)
		return
	}
	if out.took {
		state := stateOf(row)
		out.row = &state
		c.gave(row.Claim())
	}
	c.note(c.id, id, in, sent, out)
}

func (c *client) next() {
	in := call{op: "next", lapsed: c.rand.IntN(2) == 0}
	sent := time.Since(c.start)
	rows, err := c.store.ClaimNext(c.ctx, queue.ClaimNextRequest{
		Tasks: []string{c.task}, Limit: 1 + c.rand.IntN(2), Worker: "w", Lease: length(in.lapsed),
	})
	c.fail("ClaimNext", err)
	for _, row := range rows {
		state := stateOf(row)
		in.fence = row.ClaimID
		c.gave(row.Claim())
		c.note(c.id, row.ID, in, sent, outcome{took: true, row: &state})
	}
}

// underClaim does what needs a claim.
func (c *client) underClaim(op string) {
	claim, ok := c.someClaim(c.rand)
	if !ok {
		return
	}
	in := call{op: op, fence: claim.ClaimID, lapsed: c.rand.IntN(2) == 0, again: c.rand.IntN(4) == 0, failed: c.rand.IntN(4) > 0}
	sent := time.Since(c.start)
	var err error
	switch op {
	case "finish":
		f := queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(value(claim.ClaimID))}
		if in.failed {
			f = queue.Finish{Status: queue.StatusFailed, Errors: failures(1)}
		}
		_, err = c.store.Finish(c.ctx, claim, f)
	case "retry":
		var r queue.Retry
		if in.again {
			r.In = time.Hour
		}
		err = c.store.Retry(c.ctx, claim, r)
	case "release":
		err = c.store.Release(c.ctx, claim)
	case "unclaim":
		err = c.store.Unclaim(c.ctx, claim)
	case "heartbeat":
		var renewed, lost []queue.Claim
		renewed, lost, err = c.store.Heartbeat(c.ctx, length(in.lapsed), claim)
		if err == nil && len(renewed)+len(lost) == 0 {
			return // another call had it locked, so it was skipped
		}
		if slices.Contains(lost, claim) {
			err = queue.ErrLeaseLost
		}
	}
	out, other := refusal(err)
	if other != nil {
		c.fail(op, other)
		return
	}
	c.note(c.id, claim.ID, in, sent, out)
}

func (c *client) get() {
	id, sent := c.row(), time.Since(c.start)
	row, err := c.store.Get(c.ctx, id)
	if err != nil {
		c.fail("Get", err)
		return
	}
	state := stateOf(row)
	c.note(c.id, id, call{op: "get"}, sent, outcome{row: &state})
}

func (c *client) cancel() {
	id, sent := c.row(), time.Since(c.start)
	row, cancelled, err := c.store.Cancel(c.ctx, id)
	if err != nil {
		c.fail("Cancel", err)
		return
	}
	state := stateOf(row)
	c.note(c.id, id, call{op: "cancel"}, sent, outcome{took: cancelled, row: &state})
}

func (c *client) promote() {
	sent := time.Since(c.start)
	p, err := c.store.Promote(c.ctx, 100)
	c.fail("Promote", err)
	c.reclaimed("promote", sent, p.Reclaimed, p.Failed)
}

func (c *client) requeue() {
	sent := time.Since(c.start)
	done, err := c.operator.Requeue(c.ctx, queue.RequeueRequest{Filter: queue.Filter{Queue: c.task}, Limit: 100})
	c.fail("Requeue", err)
	c.reclaimed("requeue", sent, done.Ready, done.Failed)
}

// reclaimed notes for every row what may have happened to it.
func (c *client) reclaimed(op string, sent time.Duration, ready, lost int) {
	for _, id := range c.ids {
		if ready+lost > 0 {
			c.note(c.id, id, call{op: op}, sent, outcome{ready: ready > 0, lost: lost > 0})
		}
	}
}
