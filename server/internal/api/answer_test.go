package api_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

func TestAnswersOfRunsThatWereNotStored(t *testing.T) {
	ready, final := &queue.Row{Status: queue.StatusReady}, &queue.Row{Status: queue.StatusSuccessful}
	for _, c := range []struct {
		name   string
		run    *queue.Run
		err    error
		status int
		wait   bool
	}{
		{"claim lost", &queue.Run{Row: ready, Outcome: queue.OutcomeLost}, nil, 409, false},
		{"claim lost, row final", &queue.Run{Row: final, Outcome: queue.OutcomeLost}, nil, 200, false},
		{"unknown", &queue.Run{Row: ready, Outcome: queue.OutcomeUnknown}, nil, 503, true},
		{"abandoned", &queue.Run{Row: ready, Outcome: queue.OutcomeAbandoned, Err: queue.ErrShutdown}, nil, 500, false},
		{"not armed after the run", &queue.Run{Row: ready, Outcome: queue.OutcomeRescheduled, DispatchErr: errors.New("x")}, nil, 503, true},
		{"not armed when early", nil, fmt.Errorf("%w: x", queue.ErrNotArmed), 503, true},
		{"worker lost", nil, &queue.NotClaimedError{Reason: queue.ErrWorkerLost, Row: final}, 200, false},
		{"leased", nil, &queue.NotClaimedError{Reason: queue.ErrLeased, Row: ready, Wait: 1500 * time.Millisecond}, 409, true},
	} {
		answer := api.ExecuteAnswer(c.run, c.err, true)
		if answer.Status != c.status || c.wait != (answer.RetryAfter > 0) {
			t.Errorf("%s: %+v, want %d", c.name, answer, c.status)
		}
	}
}
