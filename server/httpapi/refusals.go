package httpapi

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Limits of what unauthenticated callers can write into the log.
const (
	refusalPause   = time.Minute // between two lines of one class
	refusalClasses = 32          // remembered; further ones share one line for each status
	refusalText    = 300         // bytes of an answer's text
)

// refusalLog logs requests that were refused, at most one line a minute for each
// class: an answer's status and text. It is safe for concurrent use.
type refusalLog struct {
	mu      sync.Mutex
	classes map[refusalClass]*refusalCount
}

type refusalClass struct {
	status int
	text   string // "" for all that found no room
}

type refusalCount struct {
	logged     time.Time
	suppressed int // refusals since then
}

// log logs a refusal as it was answered. Of requests other than deliveries, it logs
// only those that carried a credential: others are noise from the network.
func (l *refusalLog) log(logger *slog.Logger, r *http.Request, route route, status int, text string) {
	if route.name != "execute" && !hasCredential(r) {
		return
	}
	text = strings.ToValidUTF8(text[:min(len(text), refusalText)], "")
	suppressed, ok := l.admit(refusalClass{status, text}, time.Now())
	if !ok {
		return
	}
	pattern := "other"
	if route.name != "" {
		pattern = route.pattern()
	}
	logger.WarnContext(r.Context(), "request refused", "route", pattern, "status", status, "error", text, "suppressed", suppressed)
}

// admit reports whether a refusal of the class may be logged now, and how many were
// not since the last line.
func (l *refusalLog) admit(class refusalClass, now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := l.classes[class]
	if count == nil && len(l.classes) >= refusalClasses {
		for other, c := range l.classes {
			if now.Sub(c.logged) >= refusalPause {
				delete(l.classes, other)
			}
		}
		if len(l.classes) >= refusalClasses {
			class.text = ""
			count = l.classes[class]
		}
	}
	if count == nil {
		if l.classes == nil {
			l.classes = make(map[refusalClass]*refusalCount)
		}
		l.classes[class] = &refusalCount{logged: now}
		return 0, true
	}
	if now.Sub(count.logged) < refusalPause {
		count.suppressed++
		return 0, false
	}
	suppressed = count.suppressed
	*count = refusalCount{logged: now}
	return suppressed, true
}

// hasCredential reports whether a request carries a credential of any kind that
// this package or an OIDC verifier reads.
func hasCredential(r *http.Request) bool {
	for _, name := range []string{"Authorization", SignatureHeader, TimestampHeader} {
		if len(r.Header.Values(name)) > 0 {
			return true
		}
	}
	return false
}
