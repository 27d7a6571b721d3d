package sqlstore

import (
	"context"

	"github.com/claimcheck-go/claimcheck/queue"
)

// hasKey is the further condition of the rows that are not encrypted, or whose key is one
// of keys, with its parameters.
func hasKey(keys []string) (condition string, args []any) {
	if len(keys) == 0 {
		return ` AND key_id IS NULL`, nil
	}
	for _, key := range keys {
		args = append(args, key)
	}
	return ` AND (key_id IS NULL OR key_id IN (` + marks(len(keys)) + `))`, args
}

// countKeysQuery: Index of SQLite: claimcheck_tasks_key. MySQL has no index of some rows
// only, and reads all.
const countKeysQuery = `SELECT key_id, sum(status IN ('READY', 'RUNNING')), sum(status NOT IN ('READY', 'RUNNING'))
	FROM claimcheck_tasks WHERE key_id IS NOT NULL GROUP BY key_id ORDER BY key_id`

// CountKeys counts the rows that are encrypted, by their keys.
func (s *Store) CountKeys(ctx context.Context) (counts []queue.KeyCount, err error) {
	err = s.read(ctx, "count keys", func(conn querier) error {
		counts = nil
		return each(ctx, conn, func(scan func(...any) error) error {
			var n queue.KeyCount
			err := scan(&n.KeyID, &n.Live, &n.Ended)
			counts = append(counts, n)
			return err
		}, countKeysQuery)
	})
	return counts, err
}
