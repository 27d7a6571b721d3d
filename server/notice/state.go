package notice

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/problems"
)

// maxEpisodes bounds the state.
const maxEpisodes = 100

// state is what the processes of a database know together.
type state struct {
	CheckedAt time.Time           `json:"checked_at"`
	SentAt    time.Time           `json:"sent_at"`
	Episodes  map[string]*episode `json:"episodes"`
	// Pending is a notice that was decided on, and is not known to be enqueued. The next
	// check enqueues it, in case that its process stopped before.
	Pending *pending `json:"pending,omitempty"`
}

// episode is a problem from its beginning to its end.
type episode struct {
	Item      Item      `json:"item"`
	SeenAt    time.Time `json:"seen_at"`
	Seen      int       `json:"seen"` // checks in a row that have seen it, until it is certain
	Announced bool      `json:"announced,omitempty"`
}

// pending is a notice that is to be enqueued under an ID.
type pending struct {
	ID      uuid.UUID `json:"id"`
	Message Message   `json:"message"`
}

// certain reports whether a problem is more than a moment's: two checks have seen it. That
// workers are gone is an event, which one check sees.
func (e *episode) certain() bool {
	return e.Seen > 1 || e.Item.Kind == string(problems.Lost)
}

// over reports whether a problem has been gone for so long.
func (e *episode) over(now time.Time, interval time.Duration) bool {
	return now.Sub(e.SeenAt) >= interval
}

// identity identifies a problem, with which texts of errors are not kept.
func (i Item) identity() string {
	sum := sha256.Sum256([]byte(i.Kind + "\n" + cmp.Or(i.key, i.Name)))
	return hex.EncodeToString(sum[:12])
}

// merge notes what a check has found.
func (s *state) merge(found []Item, now time.Time, interval time.Duration) {
	if s.Episodes == nil {
		s.Episodes = make(map[string]*episode)
	}
	seen := make(map[string]bool)
	for _, item := range found {
		key := item.identity()
		if seen[key] { // of another backend
			continue
		}
		seen[key] = true
		e := s.Episodes[key]
		if e == nil {
			if len(s.Episodes) >= 2*maxEpisodes {
				continue
			}
			e = &episode{Item: Item{Since: now.UTC()}}
			s.Episodes[key] = e
		}
		item.Since = e.Item.Since
		e.Item, e.SeenAt = item, now
		e.Seen = min(e.Seen+1, 2)
	}
	maps.DeleteFunc(s.Episodes, func(key string, e *episode) bool {
		return !seen[key] && !e.Announced && (!e.certain() || e.over(now, interval))
	})
}

// store stores the state if its version is still this one, and reports whether it was.
func (s *state) store(ctx context.Context, client *queue.Client, version int64) (stored bool, err error) {
	document, err := json.Marshal(s)
	if err == nil {
		stored, err = client.SetState(ctx, stateName, document, version)
	}
	if err != nil {
		return false, fmt.Errorf("notice: %w", err)
	}
	return stored, nil
}

// keys are those of the problems, those that began first coming first.
func (s *state) keys() []string {
	return slices.SortedFunc(maps.Keys(s.Episodes), func(a, b string) int {
		return cmp.Or(s.Episodes[a].Item.Since.Compare(s.Episodes[b].Item.Since), cmp.Compare(a, b))
	})
}
