package queuetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// CountKeys counts the rows that are encrypted, by their keys.
func (s *Store) CountKeys(ctx context.Context) (counts []queue.KeyCount, err error) {
	err = s.with(ctx, "count keys", func(time.Time) error {
		for _, r := range s.rows {
			if r.KeyID == "" {
				continue
			}
			i := slices.IndexFunc(counts, func(n queue.KeyCount) bool { return n.KeyID == r.KeyID })
			if i < 0 {
				i, counts = len(counts), append(counts, queue.KeyCount{KeyID: r.KeyID})
			}
			if r.Status.Final() {
				counts[i].Ended++
			} else {
				counts[i].Live++
			}
		}
		return nil
	})
	slices.SortFunc(counts, func(a, b queue.KeyCount) int { return cmp.Compare(a.KeyID, b.KeyID) })
	return counts, err
}
