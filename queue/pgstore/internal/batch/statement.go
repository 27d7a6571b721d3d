package batch

import (
	"slices"
	"time"
)

// statement is one that runs. Batcher.mu is held for its fields.
type statement struct {
	began          time.Time
	timer          *time.Timer // nil if no call has waited for it
	ended, stalled bool
}

// begin returns a statement that starts now, and is counted as running. b.mu is held.
func (b *Batcher[Q, A]) begin() *statement {
	s := &statement{began: time.Now()}
	if len(b.waiting) > 0 {
		b.watch(s)
	} else {
		b.unwatched = append(b.unwatched, s)
	}
	return s
}

// watch has another statement replace s when it is stalled. b.mu is held.
func (b *Batcher[Q, A]) watch(s *statement) {
	s.timer = time.AfterFunc(b.limits.Patience-time.Since(s.began), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if s.stalled = !s.ended; s.stalled {
			b.stalled++
			b.serve()
		}
	})
}

// end counts s as ended, and starts the next statement if calls wait.
func (b *Batcher[Q, A]) end(s *statement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.ended = true; s.timer != nil {
		s.timer.Stop()
	} else {
		b.unwatched = slices.DeleteFunc(b.unwatched, func(other *statement) bool { return other == s })
	}
	if s.stalled {
		b.stalled--
	}
	if len(b.waiting) == 0 {
		b.running--
		return
	}
	go b.flush()
}
