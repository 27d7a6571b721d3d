package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// rightsQuery lists the privileges on the tables that the current role lacks.
const rightsQuery = `SELECT right_name || ' on ' || table_name
FROM unnest(ARRAY['claimcheck_tasks', 'claimcheck_marks', 'claimcheck_audit', 'claimcheck_gates', 'claimcheck_slots', 'claimcheck_counting', 'claimcheck_totals', 'claimcheck_periods', 'claimcheck_changes',
		'claimcheck_schedules', 'claimcheck_occurrences', 'claimcheck_groups', 'claimcheck_group_members', 'claimcheck_figures', 'claimcheck_figures_state', 'claimcheck_figures_pending', 'claimcheck_state']) AS table_name,
	unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS right_name
WHERE to_regclass(table_name) IS NOT NULL AND NOT has_table_privilege(table_name, right_name)
	AND NOT (table_name IN ('claimcheck_marks', 'claimcheck_audit', 'claimcheck_figures_state', 'claimcheck_state') AND right_name = 'DELETE')
	AND NOT (table_name = 'claimcheck_figures_pending' AND right_name IN ('INSERT', 'UPDATE'))
ORDER BY table_name, right_name`

// MissingRights lists the privileges that the store needs and the current role lacks,
// such as "INSERT on claimcheck_tasks".
func (s *Store) MissingRights(ctx context.Context) (missing []string, err error) {
	err = s.on(ctx, "check privileges", func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, rightsQuery)
		if err != nil {
			return err
		}
		missing, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return missing, err
}
