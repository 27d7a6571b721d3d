package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// AuditBody is one entry of the audit log: who did what, when, and with what result.
type AuditBody struct {
	ID     uuid.UUID  `json:"id"`
	At     time.Time  `json:"at"`
	Actor  string     `json:"actor"`
	Action string     `json:"action"`
	Task   *uuid.UUID `json:"task_id,omitempty"` // absent: many, or none
	Target string     `json:"target"`            // what it was done to, in words
	Done   int        `json:"done"`              // how many were changed
	Failed int        `json:"failed"`            // how many were not, or not dispatched
	Ended  bool       `json:"ended"`             // false while it runs, and if its process stopped
}

// AuditAnswer is a page of the audit log.
type AuditAnswer struct {
	Entries []AuditBody `json:"entries"`
	Next    string      `json:"next,omitempty"`
}

// NewAuditBody returns an entry as answers and exports have it.
func NewAuditBody(e queue.AuditEntry) AuditBody {
	body := AuditBody{ID: e.ID, At: e.At.UTC(), Actor: e.Actor, Action: e.Action, Target: e.Target, Done: e.Done, Failed: e.Failed, Ended: e.Ended}
	if e.Task != uuid.Nil {
		body.Task = &e.Task
	}
	return body
}

// NewAuditAnswer returns a page of the audit log.
func NewAuditAnswer(page queue.AuditPage) AuditAnswer {
	answer := AuditAnswer{Entries: []AuditBody{}, Next: page.Next}
	for _, e := range page.Entries {
		answer.Entries = append(answer.Entries, NewAuditBody(e))
	}
	return answer
}
