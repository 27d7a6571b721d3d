package api

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// GateBody is the answer to a request that pauses or resumes a queue.
type GateBody struct {
	Name    string `json:"name"`
	Paused  bool   `json:"paused"`
	Changed bool   `json:"changed"` // false: it was so already
	// Rows that this request itself parked, or made claimable again: other processes may
	// have changed others at the same time.
	Rows int  `json:"rows"`
	More bool `json:"more,omitempty"` // workers and the sweeper continue with the rest
	// Of a paused queue.
	PausedAt    time.Time `json:"paused_at,omitzero"`
	PausedBy    string    `json:"paused_by,omitempty"`
	PauseReason string    `json:"pause_reason,omitempty"`
}

// NewGateBody returns the answer to a result of [queue.Client.PauseQueue], or of
// ResumeQueue.
func NewGateBody(r queue.GateResult, paused bool) GateBody {
	body := GateBody{Name: r.Gate.Queue, Paused: paused, Changed: r.Changed, Rows: r.Rows, More: r.More}
	if paused {
		body.PausedAt, body.PausedBy, body.PauseReason = r.Gate.PausedAt, r.Gate.PausedBy, r.Gate.PauseReason
	}
	return body
}
