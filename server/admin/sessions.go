package admin

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Entries of the audit log that are not made with an action of package queue.
const (
	actionLogout     = "logout" // ends a session
	actionCloseGroup = "close group"
)

const (
	// sessionFresh is how long the state of a session is reused: a logout on another
	// instance takes effect after at most this long.
	sessionFresh = 10 * time.Second
	maxSessions  = 4096 // remembered of each kind; others are looked up in the audit log
	logoutTime   = 5 * time.Second
)

// sessions remembers which sessions were ended. A cookie proves by itself that it is
// genuine and how long it is valid; the end of its session is in the audit log, where
// every instance finds it, also one that starts later. It is safe for concurrent use.
type sessions struct {
	operator queue.Operator
	now      func() time.Time

	mu    sync.Mutex
	ended map[uuid.UUID]struct{}
	alive map[uuid.UUID]time.Time // until when the audit log is not read again
}

func newSessions(operator queue.Operator, now func() time.Time) *sessions {
	return &sessions{operator: operator, now: now, ended: make(map[uuid.UUID]struct{}), alive: make(map[uuid.UUID]time.Time)}
}

// unknownSession: the audit log cannot be read, so whether a session has ended is unknown.
type unknownSession struct{ error }

// check reports whether a session was ended.
func (s *sessions) check(ctx context.Context, id uuid.UUID) (ended bool, err error) {
	s.mu.Lock()
	_, ended = s.ended[id]
	fresh := s.now().Before(s.alive[id])
	s.mu.Unlock()
	if ended || fresh {
		return ended, nil
	}
	notes, err := s.operator.AuditLog(ctx, id, time.Time{}, 2)
	if err != nil {
		return false, err
	}
	ended = slices.ContainsFunc(notes, func(e queue.AuditEntry) bool { return e.Action == actionLogout })
	s.remember(id, ended)
	return ended, nil
}

func (s *sessions) remember(id uuid.UUID, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ended) >= maxSessions {
		clear(s.ended)
	}
	if len(s.alive) >= maxSessions {
		clear(s.alive)
	}
	if _, already := s.ended[id]; ended || already {
		s.ended[id] = struct{}{}
		delete(s.alive, id)
		return
	}
	s.alive[id] = s.now().Add(sessionFresh)
}

// endSession ends the session of a request, if it has one: in this process at once,
// in others through the audit log.
func (h *handler) endSession(v *visit, access Access) {
	person, err := access.Identify(v.r)
	if err != nil || person.session == uuid.Nil {
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), logoutTime)
	defer cancel()
	if ended, err := h.sessions.check(ctx, person.session); err == nil && ended {
		return
	}
	h.sessions.remember(person.session, true)
	if err := h.Client.RecordAudit(ctx, person.Name, actionLogout, person.session, "its session"); err != nil {
		h.Logger.Error("logout is not in the audit log: until it expires, other instances accept the session's cookie", "actor", person.Name, "error", err)
	}
}
