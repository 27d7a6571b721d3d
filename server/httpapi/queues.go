package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// gateBudget bounds how long a request parks rows, or makes parked rows claimable again,
// before it leaves the rest to workers and the sweeper.
const gateBudget = 15 * time.Second

// gateActor is by whom a queue is paused here, for lists and the audit log: an
// authenticator does not say who calls.
const gateActor = "HTTP API"

// queues answers with the queues, which of them are paused, and their counts.
func (h *handler) queues(w http.ResponseWriter, r *http.Request, _ string) {
	ctx, cancel := context.WithTimeout(r.Context(), databaseTimeout)
	defer cancel()
	states, err := h.Client.QueueStates(ctx)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Queues []queue.QueueState `json:"queues"`
	}{states})
}

// pauseQueue pauses a queue.
func (h *handler) pauseQueue(w http.ResponseWriter, r *http.Request, name string) {
	var reason string
	h.changeGate(w, r, map[string]any{"reason": &reason}, func(ctx context.Context) (queue.GateResult, error) {
		return h.Client.PauseQueue(ctx, queue.GateRequest{Queue: name, Actor: gateActor, Reason: reason}, nil)
	}, true)
}

// resumeQueue lets tasks of a queue run again.
func (h *handler) resumeQueue(w http.ResponseWriter, r *http.Request, name string) {
	h.changeGate(w, r, nil, func(ctx context.Context) (queue.GateResult, error) {
		return h.Client.ResumeQueue(ctx, queue.GateRequest{Queue: name, Actor: gateActor}, nil)
	}, false)
}

// changeGate answers a request to pause or resume a queue. Asking again is no error, and
// continues what an earlier request left.
func (h *handler) changeGate(w http.ResponseWriter, r *http.Request, fields map[string]any, change func(context.Context) (queue.GateResult, error), paused bool) {
	body, err := readBody(w, r, h.MaxBody)
	if err == nil {
		err = api.DecodeObject(body, fields)
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	limit := gateBudget
	if h.RequestTimeout > 0 {
		limit = min(limit, h.RequestTimeout/2)
	}
	ctx, cancel := h.within(r.Context(), limit)
	defer cancel()
	result, err := change(ctx)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, api.NewGateBody(result, paused))
}
