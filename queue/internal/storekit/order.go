package storekit

import (
	"bytes"
	"cmp"

	"github.com/claimcheck-go/claimcheck/queue"
)

// ClaimOrder compares two rows by the order in which they are claimed: highest priority
// first, then first come.
func ClaimOrder(a, b *queue.Row) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.EnqueuedAt.Compare(b.EnqueuedAt), bytes.Compare(a.ID[:], b.ID[:]))
}
