package pgstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// limitUseQuery returns the limits, the tasks that run by lane, the slots of those whose
// tickets are on their way, and the starts within the periods of their limits. $1 are rows
// that are left out. Written as hold + 0, the condition does not make the planner read all
// rows that wait instead of the primary key. Indexes: claimcheck_tasks_lease and the
// primary keys.
const limitUseQuery = `
SELECT 0, kind, name, '', '', coalesce(running, 0)::int8, coalesce(starts, 0)::int8, coalesce(per_us, 0)::int8, origin = 'code'
FROM claimcheck_gates WHERE ` + isLimit + `
UNION ALL
SELECT 1, backend_name, queue_name, task_path, coalesce(limit_key, ''), count(*), 0, 0, false FROM claimcheck_tasks
WHERE ` + limitsExist + ` AND status = 'RUNNING' GROUP BY 2, 3, 4, 5
UNION ALL
SELECT 2, s.kind, s.name, s.key, '', count(*), 0, 0, false
FROM claimcheck_slots AS s JOIN claimcheck_tasks AS t ON t.id = s.task_id AND t.hold + 0 = 4 AND t.dispatch_due_at > now()
WHERE s.part = 'running' AND s.claim_id IS NULL AND t.id <> ALL($1::uuid[]) GROUP BY s.kind, s.name, s.key
UNION ALL
SELECT 3, s.kind, s.name, s.key, '', count(*), (extract(epoch FROM min(s.used_at) + g.per_us * interval '1 microsecond' - now()) * 1000000)::int8, 0, false
FROM claimcheck_slots AS s JOIN claimcheck_gates AS g ON g.kind = s.kind AND g.name = s.name
WHERE s.part = 'starts' AND s.n <= g.starts AND s.used_at > now() - g.per_us * interval '1 microsecond'
GROUP BY s.kind, s.name, s.key, g.per_us`

// useLine is one row of limitUseQuery.
type useLine struct {
	what    int
	names   [4]string
	n, m, x int64
	code    bool
}

// LimitUse returns how much of the limits is used.
func (s *Store) LimitUse(ctx context.Context, row *queue.Row) ([]queue.LimitUse, error) {
	var own []uuid.UUID // it is not before itself
	if row != nil {
		own = append(own, row.ID)
	}
	var lines []useLine
	err := s.on(ctx, "read limits", func(conn *pgx.Conn) error {
		lines = nil
		result, err := conn.Query(ctx, limitUseQuery, uuidValues(own))
		if err != nil {
			return err
		}
		var l useLine
		_, err = pgx.ForEachRow(result, []any{&l.what, &l.names[0], &l.names[1], &l.names[2], &l.names[3], &l.n, &l.m, &l.x, &l.code}, func() error {
			lines = append(lines, l)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return usedOf(lines, row), nil
}

// usedOf adds up the lines.
func usedOf(lines []useLine, row *queue.Row) []queue.LimitUse {
	var limits []queue.Limit
	for _, l := range lines {
		if l.what == 0 {
			limits = append(limits, queue.Limit{
				Kind: queue.LimitKind(l.names[0]), Name: l.names[1], Running: int(l.n), Starts: int(l.m), Per: time.Duration(l.x) * time.Microsecond, Code: l.code,
			})
		}
	}
	slices.SortFunc(limits, func(a, b queue.Limit) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	use := storekit.NewUse(limits, row)
	for _, l := range lines {
		lane := storekit.Lane{Backend: l.names[0], Queue: l.names[1], Task: l.names[2], Key: l.names[3]}
		scope := storekit.Scope{Kind: queue.LimitKind(l.names[0]), Name: l.names[1], Key: l.names[2]}
		switch l.what {
		case 1:
			use.Run(lane, int(l.n))
		case 2:
			use.Reserve(scope, int(l.n))
		case 3:
			use.Start(scope, int(l.n), time.Duration(l.m)*time.Microsecond)
		}
	}
	return use.List()
}
