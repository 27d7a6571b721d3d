package pgstore

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// A limit of n has n slots: rows of claimcheck_slots. A task that runs takes a slot of
// each limit on what runs while it is RUNNING under the claim that the slot names,
// whatever ends that; so does an admitted row for a moment (queue.AdmitGrace). A start takes a
// slot of each limit on starts for the period from used_at. A statement that looks for
// free slots locks them, without waiting for one that another has locked, so that claims
// of one limit do not form a queue.

// takesSlot is the condition of a row t that takes the slot s. Written so, no condition
// on t makes the planner read all leases instead of the primary key.
var takesSlot = `t.id = s.task_id AND (t.claim_id = s.claim_id AND t.status || '' = 'RUNNING' OR s.claim_id IS NULL AND t.hold = 4
	AND t.dispatch_due_at > now() + ` + grace + ` - interval '` + fmt.Sprint(queue.AdmitGrace.Milliseconds()) + ` ms')`

// The statements below are about the slots s of each need u, which has the columns kind,
// name, key, part, bound and per.
const (
	slotsOf      = `s.kind = u.kind AND s.name = u.name AND s.key = u.key AND s.part = u.part`
	justStarted  = `u.per > 0 AND coalesce(s.used_at > now() - u.per * interval '1 microsecond', false)`
	needsColumns = `$1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::int8[]`
	needsFrom    = `unnest(` + needsColumns + `) WITH ORDINALITY AS u(kind, name, key, part, bound, per, i)`
)

// taken is the condition of a slot that is not free for the rows mine, which are an array.
func taken(mine string) string {
	return `(` + justStarted + ` OR EXISTS (SELECT FROM claimcheck_tasks AS t WHERE ` + takesSlot + ` AND t.id <> ALL(` + mine + `)))`
}

// takenAbove reports whether slots are taken above the bound of a limit, which was
// lowered, or set while tasks ran. Then none of its slots counts as free.
func takenAbove(mine string) string {
	return `EXISTS (SELECT FROM claimcheck_slots AS s WHERE ` + slotsOf + ` AND s.n > u.bound AND ` + taken(mine) + `)`
}

func freeSlots(mine string) string {
	return `SELECT s.* FROM claimcheck_slots AS s WHERE ` + slotsOf + ` AND s.n <= u.bound AND NOT ` + taken(mine) + ` AND NOT ` + takenAbove(mine)
}

// lockedSlots locks up to limit of the slots that a query has seen. A slot that has been
// locked by others meanwhile, and is not any more, may be taken now: the statement's
// snapshot does not show their claim, but it shows that the slot has changed.
func lockedSlots(seen, limit string) string {
	return `SELECT s.* FROM (` + seen + ` OFFSET 0) AS f JOIN claimcheck_slots AS s
		ON s.kind = f.kind AND s.name = f.name AND s.key = f.key AND s.part = f.part AND s.n = f.n ` + asSeen + `
	LIMIT ` + limit + ` FOR UPDATE OF s SKIP LOCKED`
}

const asSeen = `AND (s.task_id, s.claim_id, s.used_at) IS NOT DISTINCT FROM (f.task_id, f.claim_id, f.used_at)`

// need is a part of a limit that rows need a slot of.
type need struct {
	storekit.Scope
	part  string
	bound int
	per   time.Duration
}

func needsOf(bounds []storekit.Bound) (needs []need) {
	for _, b := range bounds {
		if b.Running > 0 {
			needs = append(needs, need{b.Scope, storekit.PartRunning, b.Running, 0})
		}
		if b.Starts > 0 {
			needs = append(needs, need{b.Scope, storekit.PartStarts, b.Starts, b.Per})
		}
	}
	return needs
}

// needParams are the first six parameters of a statement about needs.
func needParams(needs []need) []any {
	var kinds, names, keys, parts []string
	var bounds, pers []int64
	for _, n := range needs {
		kinds, names, keys, parts = append(kinds, string(n.Kind)), append(names, n.Name), append(keys, n.Key), append(parts, n.part)
		bounds, pers = append(bounds, int64(n.bound)), append(pers, n.per.Microseconds())
	}
	return []any{kinds, names, keys, parts, bounds, pers}
}

// slotsStateQuery returns of each need how many of its slots exist and are taken, whether
// one by a claim that has expired, whether one above the bound, and in how many
// microseconds the next start is allowed. $7 are rows that take none.
var slotsStateQuery = `
SELECT u.i, r.* FROM ` + needsFrom + `, LATERAL (
	SELECT count(*) FILTER (WHERE s.n <= u.bound), count(*) FILTER (WHERE x.taken), coalesce(bool_or(t.lease_expires_at <= now()), false), coalesce(bool_or(x.taken AND s.n > u.bound), false),
		coalesce(extract(epoch FROM min(s.used_at) FILTER (WHERE x.started) + u.per * interval '1 microsecond' - now()) * 1000000, 0)::int8
	FROM claimcheck_slots AS s LEFT JOIN claimcheck_tasks AS t ON ` + takesSlot + ` AND t.id <> ALL($7::uuid[])
		CROSS JOIN LATERAL (SELECT ` + justStarted + ` AS started, t.id IS NOT NULL OR ` + justStarted + ` AS taken) AS x
	WHERE ` + slotsOf + `) AS r`

type slotsState struct {
	made, taken    int
	expired, above bool
	next           time.Duration
}

// queueSlotsState reads the states of the slots that the needs are about.
func queueSlotsState(b *pgx.Batch, needs []need, mine []uuid.UUID, states map[need]slotsState) {
	if len(needs) == 0 {
		return
	}
	b.Queue(slotsStateQuery, append(needParams(needs), uuidValues(mine))...).Query(func(result pgx.Rows) error {
		var i, next int64
		var state slotsState
		_, err := pgx.ForEachRow(result, []any{&i, &state.made, &state.taken, &state.expired, &state.above, &next}, func() error {
			state.next = time.Duration(next) * time.Microsecond
			states[needs[i-1]] = state
			return nil
		})
		return err
	})
}

// shortage is what keeps slots from being free and can be changed.
type shortage struct {
	missing []need // with slots that do not exist yet
	expired bool   // claims that have expired take some
	above   bool   // tasks take slots above a bound, although some below it are free
}

// see adds what the states of slots show, but for those that are missing.
func (s *shortage) see(states map[need]slotsState) {
	for n, state := range states {
		s.expired = s.expired || state.expired
		s.above = s.above || state.above && state.taken < n.bound
	}
}

func (s *shortage) any() bool { return len(s.missing) > 0 || s.expired || s.above }

// end ends the shortage, each part in a separate transaction.
func (s *shortage) end(ctx context.Context, conn *pgx.Conn) error {
	if len(s.missing) > 0 {
		if _, err := conn.Exec(ctx, makeSlotsQuery, needParams(s.missing)...); err != nil {
			return err
		}
	}
	if s.above {
		if _, err := conn.Exec(ctx, moveDownQuery); err != nil {
			return err
		}
	}
	if !s.expired {
		return nil
	}
	if _, err := loseWorkers(ctx, conn, lostChunk); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, reclaimQuery, reclaimAtOnce)
	return err
}

// reclaimAtOnce is how many expired claims one claim of a limited row ends.
const reclaimAtOnce = 1000

// makeSlotsQuery inserts in one order, so that two of them do not wait for each other. It
// sets used_at, so that the slots are not removed before they are used.
const makeSlotsQuery = `
INSERT INTO claimcheck_slots (kind, name, key, part, n, used_at)
SELECT u.kind, u.name, u.key, u.part, n, now() - u.per * interval '1 microsecond' FROM ` + needsFrom + `, LATERAL generate_series(1, u.bound) AS n
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT DO NOTHING`

// uncountedQuery gives a slot, above those that are used, to each task that runs without
// one: it was claimed before the limit was set, or at the same time by a statement that
// did not see it yet. $1 is for how long since a limit was set there may be such tasks.
// Indexes: claimcheck_tasks_lease, then the primary keys.
const uncountedQuery = `
WITH scopes AS (
	SELECT g.kind, g.name, CASE WHEN g.kind = 'each' THEN t.limit_key ELSE '' END AS key, t.id, t.claim_id
	FROM claimcheck_gates AS g JOIN claimcheck_tasks AS t ON t.status = 'RUNNING' AND CASE g.kind WHEN 'queue' THEN t.queue_name = g.name
		WHEN 'name' THEN t.task_path = g.name OR t.limit_key = g.name ELSE t.task_path = g.name AND t.limit_key IS NOT NULL END
	WHERE g.running IS NOT NULL AND g.limited_at > now() - $1::interval),
uncounted AS (
	SELECT *, row_number() OVER (PARTITION BY kind, name, key) AS i FROM scopes AS c
	WHERE NOT (SELECT EXISTS (SELECT FROM claimcheck_slots AS s WHERE s.kind = c.kind AND s.name = c.name AND s.key = c.key AND s.part = 'running' AND s.task_id = c.id AND s.claim_id = c.claim_id)))
INSERT INTO claimcheck_slots (kind, name, key, part, n, task_id, claim_id, used_at)
SELECT kind, name, key, 'running', i + greatest(10000, coalesce((SELECT max(n) FROM claimcheck_slots AS s WHERE s.kind = u.kind AND s.name = u.name AND s.key = u.key AND s.part = 'running'), 0)), id, claim_id, now()
FROM uncounted AS u
ON CONFLICT DO NOTHING`

// moveDownQuery gives free slots to tasks that take slots above the bound of a limit,
// which makes those free. Indexes: the primary keys.
var moveDownQuery = `
WITH u AS MATERIALIZED (
	SELECT DISTINCT s.kind, s.name, s.key, s.part, g.running AS bound, 0::int8 AS per
	FROM claimcheck_gates AS g JOIN claimcheck_slots AS s ON s.kind = g.kind AND s.name = g.name AND s.part = 'running' AND s.n > g.running JOIN claimcheck_tasks AS t ON ` + takesSlot + `
	LIMIT 100),
high AS MATERIALIZED (SELECT h.*, row_number() OVER (PARTITION BY h.kind, h.name, h.key) AS i FROM u, LATERAL (
	` + lockedSlots(`SELECT s.* FROM claimcheck_slots AS s WHERE `+slotsOf+` AND s.n > u.bound AND `+taken(`'{}'`), `100`) + `) AS h),
low AS MATERIALIZED (SELECT l.*, row_number() OVER (PARTITION BY l.kind, l.name, l.key) AS i FROM u, LATERAL (
	` + lockedSlots(`SELECT s.* FROM claimcheck_slots AS s WHERE `+slotsOf+` AND s.n <= u.bound AND NOT `+taken(`'{}'`), `100`) + `) AS l),
pairs AS MATERIALIZED (
	SELECT kind, name, key, high.part, high.n AS high, low.n AS low, high.task_id, high.claim_id, high.used_at FROM high JOIN low USING (kind, name, key, i)),
moved AS (
	UPDATE claimcheck_slots AS s SET task_id = p.task_id, claim_id = p.claim_id, used_at = p.used_at FROM pairs AS p
	WHERE s.kind = p.kind AND s.name = p.name AND s.key = p.key AND s.part = p.part AND s.n = p.low)
UPDATE claimcheck_slots AS s SET task_id = NULL, claim_id = NULL FROM pairs AS p
WHERE s.kind = p.kind AND s.name = p.name AND s.key = p.key AND s.part = p.part AND s.n = p.high`

// removeUnusedQuery deletes slots beyond the limits, and those of limit keys, that have
// not been used for as long as $1.
var removeUnusedQuery = `
WITH u AS (SELECT kind, name, starts, running, coalesce(per_us, 0) AS per FROM claimcheck_gates)
DELETE FROM claimcheck_slots AS d USING (` + lockedSlots(`
	SELECT s.* FROM claimcheck_slots AS s LEFT JOIN u ON u.kind = s.kind AND u.name = s.name
	WHERE (s.kind = 'each' OR s.n > coalesce(CASE s.part WHEN 'running' THEN u.running ELSE u.starts END, 0))
		AND coalesce(s.used_at < now() - $1::interval - coalesce(u.per, 0) * interval '1 microsecond', true)
		AND NOT EXISTS (SELECT FROM claimcheck_tasks AS t WHERE `+takesSlot+`)`, `1000`) + `) AS unused
WHERE d.kind = unused.kind AND d.name = unused.name AND d.key = unused.key AND d.part = unused.part AND d.n = unused.n`

const (
	// settleTime is for how long after a limit was set there may be tasks that were
	// claimed by statements that did not see it: longer than any of them takes.
	settleTime = 2 * time.Minute
	// keepUnused is how long a slot that is not used is kept.
	keepUnused = 10 * time.Minute
)

// TidyLimits counts tasks that run without a slot, and removes slots that are not used.
func (s *Store) TidyLimits(ctx context.Context) error {
	exec := func(op, query string, args ...any) error {
		return s.on(ctx, op, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, query, args...)
			return err
		})
	}
	return cmp.Or(exec("count limited tasks", uncountedQuery, settleTime), exec("count limited tasks", moveDownQuery),
		exec("remove unused limits", removeUnusedQuery, keepUnused))
}

// slots are slots and the claims that take them, as parameters of a statement.
type slots struct {
	kinds, names, keys, parts []string
	n                         []int64
	tasks, claims             []uuid.UUID
}

func (s *slots) add(n need, slot int64, task, claim uuid.UUID) {
	if n.part == storekit.PartStarts && claim != uuid.Nil {
		task, claim = uuid.Nil, uuid.Nil // it is taken by its time
	}
	s.kinds, s.names, s.keys, s.parts = append(s.kinds, string(n.Kind)), append(s.names, n.Name), append(s.keys, n.Key), append(s.parts, n.part)
	s.n, s.tasks, s.claims = append(s.n, slot), append(s.tasks, task), append(s.claims, claim)
}

func (s *slots) params() []any {
	return []any{s.kinds, s.names, s.keys, s.parts, s.n, uuidValues(s.tasks), uuidValues(s.claims)}
}

// takeSlots is a change of slots by seven parameters from p on. used is their used_at.
func takeSlots(p int, used string) string {
	return fmt.Sprintf(`taken AS (
	UPDATE claimcheck_slots AS s SET task_id = u.task, claim_id = u.claim, used_at = %s
	FROM unnest($%d::text[], $%d::text[], $%d::text[], $%d::text[], $%d::int8[], $%d::uuid[], $%d::uuid[]) AS u(kind, name, key, part, n, task, claim)
	WHERE `+slotsOf+` AND s.n = u.n)`, used, p, p+1, p+2, p+3, p+4, p+5, p+6)
}
