package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/claimcheck-go/claimcheck/server/internal/site"
)

// forwardedPrefix is the header in which a proxy sends the path that it has removed.
const forwardedPrefix = "X-Forwarded-Prefix"

// Limits of what comes in [forwardedPrefix].
const (
	maxPrefix   = 200 // bytes
	maxPrefixes = 8   // whose handlers are kept
)

// below returns the path of a request below the prefix, under which the handler is mounted
// with or without [http.StripPrefix], of all of the prefix or its beginning.
func (h *handler) below(r *http.Request) string {
	asked := r.URL.Path
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil && strings.HasSuffix(u.Path, asked) && h.under(u.Path) {
		asked = u.Path // before anything was stripped
	}
	if h.under(asked) {
		return asked[len(h.Prefix):]
	}
	return asked
}

// under reports whether a path is the prefix, or below it.
func (h *handler) under(path string) bool {
	rest, under := strings.CutPrefix(path, h.Prefix)
	return under && (rest == "" || rest[0] == '/')
}

// prefixed are copies of the handler by what a proxy has removed: they share everything
// but their addresses. It is safe for concurrent use.
type prefixed struct {
	mu    sync.Mutex
	known map[string]*handler
}

// forRequest returns the handler whose addresses are those that the browser sees.
func (h *handler) forRequest(r *http.Request) (*handler, error) {
	sent := r.Header.Values(forwardedPrefix)
	if !h.ForwardedPrefix || len(sent) == 0 {
		return h, nil
	}
	removed := strings.TrimRight(sent[0], "/")
	switch {
	case len(sent) > 1 || strings.Contains(removed, ","):
		return nil, errors.New(forwardedPrefix + ": several proxies have sent one: let only the first send it, with all that was removed")
	case len(removed) > maxPrefix:
		return nil, fmt.Errorf("%s: at most %d bytes are accepted", forwardedPrefix, maxPrefix)
	}
	if err := site.CheckPrefix(removed); err != nil {
		return nil, fmt.Errorf("%s %w", forwardedPrefix, err)
	}
	h.prefixes.mu.Lock()
	defer h.prefixes.mu.Unlock()
	own := h.prefixes.known[removed]
	if own == nil {
		if len(h.prefixes.known) >= maxPrefixes { // a proxy that sends what its clients do
			clear(h.prefixes.known)
		}
		own = h.withBase(removed + h.Prefix)
		h.prefixes.known[removed] = own
	}
	return own, nil
}

// withBase returns a copy with other addresses.
func (h *handler) withBase(base string) *handler {
	own := *h
	own.base = base
	return &own
}

// cookiePath is the path of the cookies: that of all pages, and of nothing else.
func (h *handler) cookiePath() string {
	if h.base == "" {
		return "/"
	}
	return h.base
}
