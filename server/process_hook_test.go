package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// procHook receives webhooks, so that a test sees a task run, and decides how
// long.
type procHook struct {
	url  string
	mu   sync.Mutex
	hits map[string]int // by the task's ID
	gate chan struct{}  // requests wait until it is closed; nil: they do not
	// first answers the first request of each task; nil: with 200.
	first http.HandlerFunc
}

func procNewHook(t *testing.T) *procHook {
	h := &procHook{hits: map[string]int{}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *procHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that the client has gone
	h.mu.Lock()
	h.hits[r.Header.Get("webhook-id")]++
	gate, isFirst := h.gate, h.hits[r.Header.Get("webhook-id")] == 1
	h.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
		}
	}
	if isFirst && h.first != nil {
		h.first(w, r)
	}
}

// hold makes requests wait from now on; open lets them and all later ones pass.
func (h *procHook) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = make(chan struct{})
}

func (h *procHook) open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.gate)
	h.gate = nil
}

// count is how often a task has called.
func (h *procHook) count(id fmt.Stringer) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hits[id.String()]
}

// waitFor waits until a task runs.
func (h *procHook) waitFor(t *testing.T, id fmt.Stringer) {
	t.Helper()
	procWait(t, "the task to run", func() bool { return h.count(id) > 0 })
}

// task is the body that enqueues a call of this receiver.
func (h *procHook) task() string {
	return fmt.Sprintf(`{"task":"webhook.deliver","args":{"url":%q,"body":null}}`, h.url)
}

// env lets the server call this receiver.
func (h *procHook) env(more ...string) []string {
	return append(more, "WEBHOOK_ALLOW_HOSTS=127.0.0.1")
}
