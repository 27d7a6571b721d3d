package queue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// earlyTolerance is how long before its time a delivery still runs a task: the
// clocks of the deliverer and the database differ.
const earlyTolerance = 2 * time.Second

// claimBudget is how long a claim is tried again after an answer was lost, unless the database
// has not answered for [statementTimeout] by then.
const claimBudget = 3 * time.Second

// claim claims one row by its ID, for a delivery. The claim was made after sent.
//
// A request whose answer was lost may have claimed the row, or may do so later. It is not
// sent again: once its claim was taken from the row, no statement can tell that it was
// ever made, and a claim ID that is used twice does not distinguish the two claims. The
// next request has another ID, and the store recognizes the earlier claims; those
// that it did not find are undone.
func (e *Executor) claim(ctx context.Context, id uuid.UUID, opt RunOptions) (row *Row, sent time.Time, err error) {
	req := ClaimRequest{
		Tasks: e.client.registry.runnable, Keys: e.client.keys, Worker: e.cfg.WorkerID, Lease: e.cfg.Lease,
		Early: earlyTolerance, AllowRetry: opt.AllowRetry,
		TicketKnown: opt.Ticket != "", Ticket: rateTicketTime(opt.Ticket),
	}
	var lost []lostClaim
	var giveUp time.Time
	for pause := 20 * time.Millisecond; ; pause *= 2 {
		req.ClaimID, req.Unanswered, sent = NewClaimID(), e.recent(lost), time.Now()
		err = within(ctx, statementTimeout, func(ctx context.Context) (err error) {
			row, err = e.store.Claim(ctx, id, req)
			return err
		})
		if effectUnknown(err) {
			if len(lost) == 0 {
				giveUp = time.Now().Add(min(claimBudget, statementTimeout-time.Since(sent)))
			}
			lost = append(lost, lostClaim{claim: Claim{ID: id, ClaimID: req.ClaimID}, sent: sent})
		}
		if len(lost) == 0 || !errors.Is(err, ErrUnavailable) || time.Until(giveUp) <= pause {
			break
		}
		time.Sleep(pause)
	}
	for _, l := range lost {
		if err == nil && row.Claim() == l.claim {
			sent = l.sent
		} else {
			e.undoLater(l)
		}
	}
	return row, sent, err
}

// recent returns the IDs of lost claims whose leases, if they were made, last long enough
// for a run to begin.
func (e *Executor) recent(lost []lostClaim) (ids []uuid.UUID) {
	for _, l := range lost {
		if time.Since(l.sent) < e.cfg.Lease/2 {
			ids = append(ids, l.claim.ClaimID)
		}
	}
	return ids
}

// outdated reports whether a delivery that came before its row is due was not for the
// row's time, but for one that the row had earlier, before it was replaced or snoozed.
// Whatever changed the time has dispatched the row for it, or left that to the sweeper:
// with another ticket for each such delivery, the tickets of a row that is replaced again
// and again would never be used up. A delivery for the row's own time comes early only if
// the deliverer's clock and the database's differ.
func outdated(row *Row, dueAt time.Time) bool {
	return !dueAt.IsZero() && row.RunAfter.Sub(dueAt) > earlyTolerance
}

// handleRefusal acts on a refused claim where it must, and returns the error for
// the caller.
func (e *Executor) handleRefusal(ctx context.Context, err error, opt RunOptions) error {
	var refused *NotClaimedError
	if !errors.As(err, &refused) {
		return err
	}
	row := refused.Row
	e.client.reveal(ctx, row)
	if refused.Reason == ErrWorkerLost || refused.Reason == ErrExpired {
		e.client.memberEnded(ctx, row)
		e.client.admitNext(ctx, row)
	}
	switch refused.Reason {
	case ErrNotDue:
		if outdated(row, opt.DueAt) {
			break
		}
		// The ticket that came early is used up, so the row needs another. Where
		// the database's clock is far behind, a ticket for the row's time would
		// come too early again.
		later := *row
		if at := e.client.now().Add(refused.Wait); at.Sub(row.RunAfter) > earlyTolerance {
			later.RunAfter = at
		}
		if armErr := e.arm(ctx, &later); armErr != nil {
			return fmt.Errorf("%w: %w", ErrNotArmed, armErr)
		}
	case ErrLimited:
		if refused.Room {
			e.client.admitNext(ctx, row)
		}
		if refused.Wait > 0 && row.Status == StatusReady {
			if armErr := e.armForRate(ctx, row, refused.Wait); armErr != nil {
				return fmt.Errorf("%w: %w", ErrNotArmed, armErr)
			}
		}
	case ErrUnknownTask:
		e.log.Warn("task name is not registered in this version; its row waits",
			"task_id", row.ID, "task_path", row.Task, "queue_name", row.Queue)
	case ErrUnknownKey:
		e.log.Warn("task is encrypted with a key that this program does not have; its row waits",
			"task_id", row.ID, "task_path", row.Task, "queue_name", row.Queue, "key_id", row.KeyID)
	case ErrWorkerLost:
		e.log.Error("task failed: its lease expired on its last attempt", "error", refused.Error(),
			"task_id", row.ID, "task_path", row.Task, "attempt", row.Attempts, "max_attempts", row.MaxAttempts)
	}
	return err
}

// arm dispatches a row for its time, unless that is so far ahead that the sweeper
// will do it.
func (e *Executor) arm(ctx context.Context, row *Row) error {
	if row.deferred(e.client.now()) {
		return nil
	}
	return e.client.dispatch(ctx, row)
}

// armForRate dispatches a row that waits for a rate. Its ticket has the same name for every
// delivery that finds the row waiting for the same time: it is made once, and duplicate
// deliveries end.
func (e *Executor) armForRate(ctx context.Context, row *Row, wait time.Duration) error {
	later := *row
	later.RunAfter = e.client.now().Add(wait)
	return e.client.dispatchBy(ctx, singly, []*Row{&later}, func(later *Row) Ticket {
		ticket := e.client.ticket(later)
		ticket.Name = rateTicketName(row)
		return ticket
	})
}

// rateTicketName is the name of the ticket of a row that waits for a rate. It begins with a
// hash, as that of [ticketName] does, and ends with the row's DispatchDueAt.
func rateTicketName(row *Row) string {
	due := row.DispatchDueAt.UnixMicro()
	return fmt.Sprintf("%x-%s-%d", sha256.Sum256(fmt.Append(nil, row.ID, due)), row.ID, due)
}

// rateTicketTime returns the DispatchDueAt in a rateTicketName; zero if name is another one.
func rateTicketTime(name string) time.Time {
	const parts = 7 // the ID has five
	if fields := strings.Split(name, "-"); len(fields) == parts {
		if due, err := strconv.ParseInt(fields[parts-1], 10, 64); err == nil {
			return time.UnixMicro(due).UTC()
		}
	}
	return time.Time{}
}

// claimNext pulls up to the reserved number of rows. If the answer is lost, what
// was claimed is looked for and released, in the background.
func (e *Executor) claimNext(ctx context.Context, from From, r reservation) ([]*Row, error) {
	fence := NewClaimID()
	var rows []*Row
	err := within(ctx, statementTimeout, func(ctx context.Context) (err error) {
		rows, err = e.claimRows(ctx, ClaimNextRequest{
			Tasks: e.client.registry.runnable, Keys: e.client.keys, Queues: from.Queues, Backend: from.Backend,
			Limit: r.limit, Prefetch: r.prefetch, NotPrefetch: r.notPrefetch, Fence: fence, Worker: e.cfg.WorkerID, Lease: e.cfg.Lease,
		})
		return err
	})
	e.client.availability.observe(err)
	if effectUnknown(err) {
		lost := lostClaim{fence: fence, sent: time.Now()} // a pull may be several requests
		for _, row := range rows {
			lost.known = append(lost.known, row.Claim())
		}
		e.undoLater(lost)
	}
	return rows, err
}

// lostClaim is a claim that may have been made although its answer did not
// arrive. No goroutine of this process runs what it claimed, so it is undone.
type lostClaim struct {
	sent  time.Time // no request was sent later
	claim Claim     // of one row by its ID; or else
	fence uuid.UUID // of a pull
	known []Claim   // claims of that pull that the answer did contain
	err   error     // of the last attempt to undo it
}

// lostClaimBudget is how long a lost claim is looked for while the database fails.
const lostClaimBudget = 10 * time.Minute

// effectUnknown reports whether a claim that ended with err may have been made.
func effectUnknown(err error) bool {
	if err == nil {
		return false
	}
	for _, certain := range []error{ErrNoEffect, ErrOutdated, ErrNotFound, ErrSchema, ErrClosed, ErrInvalid} {
		if errors.Is(err, certain) {
			return false
		}
	}
	var refused *NotClaimedError
	return !errors.As(err, &refused)
}

// undoLater releases what a lost claim has claimed, in the background: until the
// database has answered, and the request can no longer be on its way. Shutdown
// waits for that, but not for long after the last task has ended. All lost claims share one
// goroutine, and so one connection.
func (e *Executor) undoLater(l lostClaim) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lostClaims = append(e.lostClaims, &l)
	if len(e.lostClaims) == 1 {
		go e.undoLostClaims()
	}
}

func (e *Executor) undoLostClaims() {
	const shortest = 50 * time.Millisecond
	longest := min(time.Second, max(shortest, e.cfg.Lease/10)) // a claim is to be undone before its lease expires
	for pause := shortest; ; pause = min(2*pause, longest) {
		last := false
		select {
		case <-e.interrupt:
			last = true
		default:
		}
		e.mu.Lock()
		lost := slices.Clone(e.lostClaims)
		e.mu.Unlock()
		done := e.undo(lost)
		e.mu.Lock()
		e.unsettled = e.unsettled || last && slices.ContainsFunc(lost, func(l *lostClaim) bool { return l.err != nil })
		e.lostClaims = slices.DeleteFunc(e.lostClaims, func(l *lostClaim) bool { return done[l] || last && slices.Contains(lost, l) })
		none := len(e.lostClaims) == 0
		e.mu.Unlock()
		if none {
			return
		}
		select {
		case <-e.interrupt:
		case <-time.After(pause):
		}
	}
}

// undo looks once for what lost claims have claimed, and returns those that are done with.
// Claims by ID, of which one delivery may have lost several, are undone together: after an
// outage there are many.
func (e *Executor) undo(lost []*lostClaim) (done map[*lostClaim]bool) {
	done = make(map[*lostClaim]bool)
	var byID []*lostClaim
	for _, l := range lost {
		if l.fence == uuid.Nil {
			byID = append(byID, l)
		} else {
			done[l] = e.undoPull(l)
		}
	}
	for part := range slices.Chunk(byID, 1000) {
		claims := make([]Claim, len(part))
		for i, l := range part {
			claims[i] = l.claim
		}
		began := time.Now()
		err := e.unclaimWithin(claims...)
		for _, l := range part {
			of := err
			if errors.Is(err, ErrLocked) && began.Sub(l.sent) >= statementTimeout {
				of = e.unclaimWithin(l.claim) // the row of another one is locked, perhaps for long
			}
			done[l] = e.undone(l, began, of)
		}
	}
	return done
}

func (e *Executor) unclaimWithin(claims ...Claim) error {
	return within(e.undoing, statementTimeout, func(ctx context.Context) error { return e.store.Unclaim(ctx, claims...) })
}

// undoPull is undo for the claims of a pull.
func (e *Executor) undoPull(l *lostClaim) (done bool) {
	began := time.Now()
	var claims []Claim
	err := within(e.undoing, statementTimeout, func(ctx context.Context) (err error) {
		claims, err = e.store.Claimed(ctx, l.fence)
		claims = slices.DeleteFunc(claims, func(c Claim) bool { return slices.Contains(l.known, c) })
		if err == nil && len(claims) > 0 {
			err = e.store.Unclaim(ctx, claims...)
		}
		return err
	})
	if l.err = err; err == nil && len(claims) > 0 {
		e.log.Warn("tasks were claimed but the answer was lost; released", "tasks", len(claims))
		e.client.wake(context.Background())
		return true
	}
	return e.undone(l, began, err)
}

// undone reports whether a lost claim is done with after an attempt to undo it: when the
// request can no longer be on its way, or the database has failed for too long.
func (e *Executor) undone(l *lostClaim, began time.Time, err error) bool {
	l.err = err
	switch {
	case err != nil && time.Since(l.sent) > lostClaimBudget:
		e.log.Error("a claim whose answer was lost could not be released; it expires with its lease", "task_id", l.claim.ID, "error", err)
		return true
	case err != nil:
		return false
	}
	return began.Sub(l.sent) >= statementTimeout
}
