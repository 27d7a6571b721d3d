package sqlstore

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// spreadOver is how many of the rows that wait for a rate are counted.
const spreadOver = 1000

// spread is a random time after wait within which the other rows start that wait for the
// same rates as a row, and the longest one.
func spread(ctx context.Context, q querier, turn *storekit.Turn, row *queue.Row, wait time.Duration) (until, longest time.Duration, err error) {
	until, longest = wait, wait
	var itself int
	if err := q.QueryRowContext(ctx, `SELECT count(*) FROM claimcheck_tasks WHERE id = ? AND `+q.store.dialect.limited, row.ID).Scan(&itself); err != nil {
		return 0, 0, err
	}
	for _, bound := range turn.Limits.Of(storekit.LaneOf(row)) {
		if bound.Starts == 0 || turn.Rooms[bound.Scope].Starts > 0 {
			continue
		}
		waiting, err := waitingFor(ctx, q, bound.Scope)
		if err != nil {
			return 0, 0, err
		}
		share := storekit.Share(bound, max(waiting-itself, 0))
		until, longest = max(until, wait+rand.N(share)), max(longest, wait+share+time.Millisecond)
	}
	return until, longest, nil
}

// waitingFor counts the rows that wait for limits and that a limit concerns, up to
// spreadOver. It goes through the tasks of each queue that have such rows: of each it
// reads one entry of the index, and those that it counts.
func waitingFor(ctx context.Context, q querier, scope storekit.Scope) (waiting int, err error) {
	d := q.store.dialect
	for after := ""; waiting < spreadOver; {
		var text sql.NullString
		if err := q.QueryRowContext(ctx, d.nextLane(), after).Scan(&text); err != nil || !text.Valid {
			return waiting, err
		}
		lane, ok := parseLane(text.String)
		if !ok {
			after = text.String
			continue
		}
		lane.Key = ""
		from := laneText(lane)
		after = strings.TrimSuffix(from, "|") + "}" // the character after |, behind all keys
		to := after
		switch key := keyOf(scope, lane); {
		case key != "":
			lane.Key = key
			from = laneText(lane)
			to = from + "\x00"
		case scope.Kind == queue.LimitEach, scope.Kind == queue.LimitQueue && lane.Queue != scope.Name, scope.Kind == queue.LimitName && lane.Task != scope.Name:
			continue
		}
		var n int
		if err := q.QueryRowContext(ctx, d.countInLanes(), from, to, spreadOver).Scan(&n); err != nil {
			return 0, err
		}
		waiting += n
	}
	return waiting, nil
}

// keyOf is the limit key that rows of the lane's task have which a limit concerns; empty
// if it concerns all of them or none.
func keyOf(scope storekit.Scope, lane storekit.Lane) string {
	switch {
	case scope.Kind == queue.LimitEach && lane.Task == scope.Name:
		return scope.Key
	case scope.Kind == queue.LimitName && lane.Task != scope.Name:
		return scope.Name
	}
	return ""
}

func (d *Dialect) nextLane() string {
	return `SELECT min(` + d.lane + `) FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_limited") + ` WHERE ` + d.limited + ` AND ` + d.lane + ` > ?`
}

// countInLanes counts rows of the lanes from one to before another.
func (d *Dialect) countInLanes() string {
	return `SELECT count(*) FROM (SELECT 1 FROM claimcheck_tasks` + d.useIndex("claimcheck_tasks_limited") + `
		WHERE ` + d.limited + ` AND ` + d.lane + ` >= ? AND ` + d.lane + ` < ? LIMIT ?) AS waiting`
}
