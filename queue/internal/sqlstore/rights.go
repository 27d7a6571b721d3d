package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// errRollback ends a transaction that must change nothing.
var errRollback = errors.New("rollback")

// MissingRights returns the privileges on the tables that this user lacks, such as
// "INSERT on claimcheck_tasks". It tries each on no row, in a transaction that is
// rolled back: servers check privileges nevertheless.
func (s *Store) MissingRights(ctx context.Context) (missing []string, err error) {
	err = s.write(ctx, "check privileges", func(ctx context.Context, tx querier, _ time.Time) error {
		missing = nil
		for _, try := range []struct{ right, table, statement string }{
			{"SELECT", "claimcheck_tasks", "SELECT count(*) FROM claimcheck_tasks WHERE 1 = 0"},
			{"INSERT", "claimcheck_tasks", "INSERT INTO claimcheck_tasks (id) SELECT id FROM claimcheck_tasks WHERE 1 = 0"},
			{"UPDATE", "claimcheck_tasks", "UPDATE claimcheck_tasks SET attempts = 0 WHERE 1 = 0"},
			{"DELETE", "claimcheck_tasks", "DELETE FROM claimcheck_tasks WHERE 1 = 0"},
			{"UPDATE", "claimcheck_marks", "UPDATE claimcheck_marks SET name = name WHERE 1 = 0"},
			{"INSERT", "claimcheck_gates", "INSERT INTO claimcheck_gates (kind, name) SELECT kind, name FROM claimcheck_gates WHERE 1 = 0"},
			{"INSERT", "claimcheck_slots", "INSERT INTO claimcheck_slots (kind, name, limit_key, n, used_at) SELECT kind, name, limit_key, n, used_at FROM claimcheck_slots WHERE 1 = 0"},
			{"UPDATE", "claimcheck_slots", "UPDATE claimcheck_slots SET used_at = used_at WHERE 1 = 0"},
			{"DELETE", "claimcheck_slots", "DELETE FROM claimcheck_slots WHERE 1 = 0"},
			{"UPDATE", "claimcheck_gates", "UPDATE claimcheck_gates SET name = name WHERE 1 = 0"},
			{"SELECT", "claimcheck_schedules", "SELECT count(*) FROM claimcheck_schedules WHERE 1 = 0"},
			{"INSERT", "claimcheck_schedules", "INSERT INTO claimcheck_schedules SELECT * FROM claimcheck_schedules WHERE 1 = 0"},
			{"UPDATE", "claimcheck_schedules", "UPDATE claimcheck_schedules SET name = name WHERE 1 = 0"},
			{"DELETE", "claimcheck_schedules", "DELETE FROM claimcheck_schedules WHERE 1 = 0"},
			{"INSERT", "claimcheck_occurrences", "INSERT INTO claimcheck_occurrences SELECT * FROM claimcheck_occurrences WHERE 1 = 0"},
			{"INSERT", "claimcheck_groups", "INSERT INTO claimcheck_groups SELECT * FROM claimcheck_groups WHERE 1 = 0"},
			{"UPDATE", "claimcheck_groups", "UPDATE claimcheck_groups SET name = name WHERE 1 = 0"},
			{"DELETE", "claimcheck_groups", "DELETE FROM claimcheck_groups WHERE 1 = 0"},
			{"INSERT", "claimcheck_group_members", "INSERT INTO claimcheck_group_members SELECT * FROM claimcheck_group_members WHERE 1 = 0"},
			{"UPDATE", "claimcheck_group_members", "UPDATE claimcheck_group_members SET state = state WHERE 1 = 0"},
			{"DELETE", "claimcheck_group_members", "DELETE FROM claimcheck_group_members WHERE 1 = 0"},
			{"INSERT", "claimcheck_figures", "INSERT INTO claimcheck_figures SELECT * FROM claimcheck_figures WHERE 1 = 0"},
			{"DELETE", "claimcheck_figures", "DELETE FROM claimcheck_figures WHERE 1 = 0"},
			{"UPDATE", "claimcheck_figures_state", "UPDATE claimcheck_figures_state SET counted_to = counted_to WHERE 1 = 0"},
			{"INSERT", "claimcheck_state", "INSERT INTO claimcheck_state SELECT * FROM claimcheck_state WHERE 1 = 0"},
			{"UPDATE", "claimcheck_state", "UPDATE claimcheck_state SET version = version WHERE 1 = 0"},
			{"DELETE", "claimcheck_occurrences", "DELETE FROM claimcheck_occurrences WHERE 1 = 0"},
		} {
			if _, err := tx.ExecContext(ctx, try.statement); err != nil {
				if s.backend.Broken(err) || ctx.Err() != nil {
					return err
				}
				if !s.backend.Forbidden(err) { // any other error of a statement without rows
					continue
				}
				missing = append(missing, fmt.Sprintf("%s on %s (%s)", try.right, try.table, storekit.OneLine(err)))
			}
		}
		return errRollback
	})
	if errors.Is(err, errRollback) {
		err = nil
	}
	return missing, err
}
