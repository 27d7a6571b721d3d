package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
)

// keyMark begins an element of a parameter of task names that is a key. No name has it.
const keyMark = "#"

// knows returns the parameter of a claim that holds what the process knows: the names of
// tasks and, marked, the keys with which it can decrypt rows.
func knows(tasks, keys []string) []string {
	if len(keys) == 0 {
		return tasks
	}
	known := append(make([]string, 0, len(tasks)+len(keys)), tasks...)
	for _, key := range keys {
		known = append(known, keyMark+key)
	}
	return known
}

// hasKey is the condition of the rows that are not encrypted, or whose key is in a
// parameter that knows has returned.
func hasKey(known string) string {
	return `(key_id IS NULL OR '` + keyMark + `' || key_id = ANY(` + known + `))`
}

// Index: claimcheck_tasks_key, which has encrypted rows only.
const countKeysQuery = `
SELECT key_id, count(*) FILTER (WHERE status IN ('READY', 'RUNNING')), count(*) FILTER (WHERE status NOT IN ('READY', 'RUNNING'))
FROM claimcheck_tasks WHERE key_id IS NOT NULL GROUP BY key_id ORDER BY key_id COLLATE "C"`

// CountKeys counts the rows that are encrypted, by their keys.
func (s *Store) CountKeys(ctx context.Context) (counts []queue.KeyCount, err error) {
	err = s.on(ctx, "count keys", func(conn *pgx.Conn) error {
		result, err := conn.Query(ctx, countKeysQuery)
		if err != nil {
			return err
		}
		counts, err = pgx.CollectRows(result, func(row pgx.CollectableRow) (n queue.KeyCount, err error) {
			return n, row.Scan(&n.KeyID, &n.Live, &n.Ended)
		})
		return err
	})
	return counts, err
}
