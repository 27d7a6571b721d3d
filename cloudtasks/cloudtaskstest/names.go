package cloudtaskstest

import "time"

// heldNames are names of tasks that are gone and may not be used again yet.
type heldNames struct {
	heldFor time.Duration
	until   map[string]time.Time
	order   []string // oldest first
}

func (h *heldNames) hold(name string, now time.Time) {
	h.forget(now)
	h.until[name] = now.Add(h.heldFor)
	h.order = append(h.order, name)
}

func (h *heldNames) held(name string, now time.Time) bool {
	h.forget(now)
	_, held := h.until[name]
	return held
}

// forget drops names that are no longer held.
func (h *heldNames) forget(now time.Time) {
	for len(h.order) > 0 && !h.until[h.order[0]].After(now) {
		delete(h.until, h.order[0])
		h.order = h.order[1:]
	}
}
