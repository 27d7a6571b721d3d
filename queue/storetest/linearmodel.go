package storetest

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// rowState is all that the sequential model knows of one row. Where a row can
// be read it must be exactly this.
type rowState struct {
	Status        queue.Status
	Attempts      int
	MaxAttempts   int
	Workers       int
	Interruptions int
	Errors        int
	Fence         uuid.UUID // ClaimID
	Lapsed        bool      // RUNNING under a lease that has expired
	Soft          bool      // waits for its backoff: pull claims pass it over
	Value         string    // ReturnValue
}

// stateOf reads a row as the model does. Leases are an hour long, or over for an
// hour, so that the clock decides nothing.
func stateOf(row *queue.Row) rowState {
	return rowState{
		Status: row.Status, Attempts: row.Attempts, MaxAttempts: row.MaxAttempts, Workers: len(row.WorkerIDs),
		Interruptions: row.Interruptions, Errors: len(row.Errors), Fence: row.ClaimID,
		Lapsed: row.Status == queue.StatusRunning && row.LeaseExpiresAt.Before(row.EnqueuedAt),
		Soft:   !row.RetryAt.IsZero(), Value: string(row.ReturnValue),
	}
}

// call is one call of the store as far as it concerns one row.
type call struct {
	op     string
	fence  uuid.UUID // of the claim that is asked for, or under which the call acts
	lapsed bool      // claim and heartbeat: the lease is over at once
	again  bool      // claim: AllowRetry; retry: after a backoff
	failed bool      // finish: FAILED
}

// outcome is what the call answered. took says that it took effect; row is the
// row that it returned, if any.
type outcome struct {
	took bool
	err  error // the reason why a claim was refused, or a fence held
	row  *rowState
	// What promote and requeue may have done: they say how many rows they
	// changed, but not which.
	ready, lost bool
}

// sequential is the model of one row for the checker: what a store would do if
// one call came after the other.
func sequential(initial rowState) porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{initial} },
		Step: func(state, input, output any) []any {
			next := step(state.(rowState), input.(call), output.(outcome))
			possible := make([]any, len(next))
			for i := range next {
				possible[i] = next[i]
			}
			return possible
		},
		DescribeOperation: func(input, output any) string { return describe(input.(call), output.(outcome)) },
	}
	return model.ToModel()
}

func describe(in call, out outcome) string {
	text := fmt.Sprintf("%s(%.8s lapsed=%t again=%t failed=%t) took=%t ready=%t lost=%t err=%v", in.op, in.fence, in.lapsed, in.again, in.failed, out.took, out.ready, out.lost, out.err)
	if out.row != nil {
		text += fmt.Sprintf(" row=%+v", *out.row)
	}
	return text
}

// step returns the states in which the row may be after a call that answered
// out: none if it could not have answered that.
func step(s rowState, in call, out outcome) []rowState {
	next, want := s, outcome{}
	switch in.op {
	case "get":
	case "claim":
		next, want = claimed(s, in)
	case "next": // recorded only for the rows that it returned
		next, want = s.given(in), outcome{took: s.Status == queue.StatusReady && !s.Soft && s.Attempts < s.MaxAttempts}
	case "cancel":
		if !s.Status.Final() {
			next, want.took = s.end(queue.StatusCancelled).unfenced(), true
		}
	case "promote", "requeue":
		return reclaimed(s, in, out)
	case "unclaim": // which does not say what it did
		next, want.took = s.unclaimed(in), true
	default: // under a claim
		next, want = fenced(s, in)
	}
	if out.took != want.took || out.err != want.err || out.row != nil && *out.row != next {
		return nil
	}
	return []rowState{next}
}

// given is the row claimed.
func (s rowState) given(in call) rowState {
	if s.Status == queue.StatusFailed {
		s.Interruptions = 0
	}
	s.Status, s.Fence, s.Lapsed, s.Soft = queue.StatusRunning, in.fence, in.lapsed, false
	s.Attempts++
	s.Workers++
	s.MaxAttempts = max(s.MaxAttempts, s.Attempts)
	return s
}

// unclaimed is the row after its claim was released, if it was held.
func (s rowState) unclaimed(in call) rowState {
	if s.Status != queue.StatusRunning || s.Fence != in.fence {
		return s
	}
	s = s.end(queue.StatusReady)
	s.Attempts--
	s.Workers--
	return s
}

// end is the row in a status other than RUNNING.
func (s rowState) end(status queue.Status) rowState {
	s.Status, s.Lapsed = status, false
	return s
}

// unfenced is the row without a claim: its claim is lost.
func (s rowState) unfenced() rowState {
	s.Fence = uuid.Nil
	return s
}

// lostWorker is the row failed because its lease expired on the last attempt.
func (s rowState) lostWorker() rowState {
	s = s.end(queue.StatusFailed).unfenced()
	s.Errors++
	return s
}

func claimed(s rowState, in call) (rowState, outcome) {
	switch {
	case s.Status == queue.StatusFailed && in.again:
		return s.given(in), outcome{took: true}
	case s.Status.Final():
		return s, outcome{err: queue.ErrFinal}
	case s.Status == queue.StatusRunning && !s.Lapsed:
		return s, outcome{err: queue.ErrLeased}
	case s.Attempts >= s.MaxAttempts:
		return s.lostWorker(), outcome{err: queue.ErrWorkerLost}
	}
	return s.given(in), outcome{took: true}
}

// fenced is what finish, retry, release and heartbeat do.
func fenced(s rowState, in call) (rowState, outcome) {
	lost := outcome{err: queue.ErrLeaseLost}
	if s.Fence != in.fence {
		return s, lost
	}
	if s.Status != queue.StatusRunning { // a repetition of what took effect succeeds
		ended := queue.StatusSuccessful
		if in.failed {
			ended = queue.StatusFailed
		}
		if in.op == "finish" && s.Status == ended || (in.op == "retry" || in.op == "release") && s.Status == queue.StatusReady {
			return s, outcome{took: true}
		}
		return s, lost
	}
	switch in.op {
	case "heartbeat":
		s.Lapsed = in.lapsed
	case "finish":
		s = s.end(queue.StatusSuccessful)
		s.Value = value(in.fence)
		if in.failed {
			s.Status, s.Value, s.Errors = queue.StatusFailed, "", 1
		}
	case "retry":
		s = s.end(queue.StatusReady)
		s.Soft = in.again
	case "release":
		s = s.end(queue.StatusReady)
		s.Attempts--
		s.Workers--
		s.Interruptions++
	}
	return s, outcome{took: true}
}

// reclaimed is what a promotion or a requeue may have done to one of the rows,
// which it also may have skipped.
func reclaimed(s rowState, in call, out outcome) []rowState {
	states := []rowState{s}
	if s.Status != queue.StatusRunning || !s.Lapsed {
		return states
	}
	last := s.Attempts >= s.MaxAttempts
	switch {
	case last && out.lost:
		states = append(states, s.lostWorker())
	case !last && out.ready:
		states = append(states, s.end(queue.StatusReady).unfenced())
	}
	return slices.Clip(states)
}

// value is what a finish under this claim returns, so that one sees whose it was.
func value(fence uuid.UUID) string { return fmt.Sprintf("%q", fence) }
