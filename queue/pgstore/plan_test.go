package pgstore

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// backlog is 60,000 rows of every kind, most of them finished, and many that
// stand in the way of a claim which does not use its index.
const backlog = `
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, hold, args, run_after, dispatch_due_at, enqueued_at, attempts, max_attempts, claim_id, lease_expires_at, finished_at)
SELECT gen_random_uuid(), 't', 'q', 'b', n % 7, s.status, s.hold, '1', CASE WHEN s.hold = 1 THEN now() + n * interval '1 second' END,
	now() + n * interval '1 second', now() - n * interval '1 second', 1, 3,
	CASE WHEN s.status <> 'READY' THEN gen_random_uuid() END, CASE WHEN s.status = 'RUNNING' THEN now() + n * interval '1 second' END,
	CASE WHEN s.status = 'SUCCESSFUL' THEN now() - n * interval '1 second' END
FROM generate_series(1, 10000) AS n, (VALUES ('READY', 0), ('READY', 1), ('RUNNING', NULL), ('SUCCESSFUL', NULL), ('SUCCESSFUL', NULL), ('SUCCESSFUL', NULL)) AS s(status, hold);
ANALYZE claimcheck_tasks`

// planned is a connection to a migrated database with the given rows.
func planned(t *testing.T, rows string) *pgx.Conn {
	t.Helper()
	url := testdb.Postgres(t)
	s, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	testdb.Exec(t, url, rows)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	if err := session(t.Context(), conn); err != nil { // as the store's connections do
		t.Fatal(err)
	}
	return conn
}

// explain returns the two plans of a statement: the one for these arguments, and
// the one for any, which is what the store's connections use.
func explain(t *testing.T, conn *pgx.Conn, query string, args []any) (plans [2]string) {
	t.Helper()
	prepared, err := conn.Prepare(t.Context(), "explained", query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	execute := "EXPLAIN EXECUTE explained"
	if n := len(prepared.ParamOIDs); n > 0 {
		execute += "(NULL" + strings.Repeat(", NULL", n-1) + ")"
	}
	for i, explained := range []statement{{"EXPLAIN " + query, args}, {execute, nil}} {
		rows, err := conn.Query(t.Context(), explained.text, explained.args...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		plans[i] = strings.Join(lines, "\n")
	}
	if err := conn.Deallocate(t.Context(), "explained"); err != nil {
		t.Fatal(err)
	}
	return plans
}

func keyedRows(t *testing.T) []any {
	t.Helper()
	row := &queue.NewRow{Row: &queue.Row{ID: uuid.New(), Task: "t", UniqueKey: "a", UniqueScope: queue.UniqueKept}}
	_, values, err := insertOf([]*queue.NewRow{row, row}, insertKeyedBriefQuery)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func oneNeed() []any {
	return needParams(needsOf([]storekit.Bound{{Scope: storekit.Scope{Kind: queue.LimitQueue, Name: "q"}, Running: 50}}))
}

func twoFinishes(t *testing.T) []any {
	t.Helper()
	end := finishOf{queue.Claim{ID: uuid.New(), ClaimID: uuid.New()}, queue.Finish{Status: queue.StatusSuccessful}}
	values, err := finishValues([]finishOf{end, end})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// noReport are the parameters of a report that changes nothing.
var noReport = []any{pgtype.Int8{}, pgtype.Int8{}, pgtype.Text{}}

// noProgress are those of a retry that reports nothing and continues nothing.
var noProgress = append(slices.Clone(noReport), jsonValue(nil), 0)

func TestEveryStatementUsesItsIndex(t *testing.T) {
	conn := planned(t, backlog)

	one := uuidValue(uuid.New())
	ids := []pgtype.UUID{one, uuidValue(uuid.New())}
	const place, primaryKey, claim, held, waiting, lease, finished = "Tid Scan", "claimcheck_tasks_pkey", "claimcheck_tasks_claim", "claimcheck_tasks_held", "claimcheck_tasks_waiting", "claimcheck_tasks_lease", "claimcheck_tasks_finished"
	const unique = "claimcheck_tasks_unique"
	const retention = "claimcheck_tasks_retention"
	const sortOfFirst = "Sort Key: first.finished_at"
	stats, _ := statsQuery(queue.Filter{})
	statsOfQueue, _ := statsQuery(queue.Filter{Queue: "rare"})
	abandonedAll, abandonedArgs := abandonedQuery(queue.RequeueRequest{Limit: 100})
	abandonedSome, abandonedSomeArgs := abandonedQuery(queue.RequeueRequest{Limit: 100, Filter: queue.Filter{Queue: "q", Backend: "b"}})
	for name, c := range map[string]struct {
		query   string
		args    []any
		indexes []string
	}{
		"load":                         {`SELECT ` + columns + ` FROM claimcheck_tasks WHERE id = $1::uuid`, []any{one}, []string{primaryKey}},
		"load existing":                {`SELECT ` + columns + ` FROM claimcheck_tasks WHERE id = ANY($1::uuid[])`, []any{ids}, []string{primaryKey}},
		"claim":                        {plainClaims.one, []any{"w", time.Minute, []string{"t"}, time.Second, one, one}, []string{primaryKey}},
		"claim, with limits":           {limitClaims.one, []any{"w", time.Minute, []string{"t"}, time.Second, one, one}, []string{primaryKey}},
		"claim many":                   {plainClaims.many, []any{"w", time.Minute, []string{"t"}, time.Second, ids, ids}, []string{primaryKey}},
		"claim many, with limits":      {limitClaims.many, []any{"w", time.Minute, []string{"t"}, time.Second, ids, ids}, []string{primaryKey}},
		"claim again":                  {plainClaims.again, []any{"w", time.Minute, []string{"t"}, time.Second, one, one}, []string{primaryKey, unique}},
		"claim again, with limits":     {limitClaims.again, []any{"w", time.Minute, []string{"t"}, time.Second, one, one}, []string{primaryKey, unique}},
		"live twins":                   {`SELECT count(*) FROM claimcheck_tasks WHERE id = $1 AND ` + keyWillBeFree, []any{one}, []string{primaryKey, unique}},
		"insert keyed":                 {insertKeyedBriefQuery, keyedRows(t), []string{unique}},
		"insert keyed tx":              {insertKeyedTxQuery, keyedRows(t), []string{unique}},
		"holders":                      {holdersQuery, []any{[]string{"t", "u"}, []string{"a", "b"}}, []string{unique}},
		"release key":                  {releaseKeyQuery, []any{one}, []string{primaryKey}},
		"replace":                      {replaceQuery, []any{one, "[]", 1, timeValue(time.Time{}), int64(0), true, timeValue(time.Time{}), int64(0), "", ""}, []string{primaryKey}},
		"finish many":                  {finishManyPlainQuery, twoFinishes(t), []string{primaryKey}},
		"finish many kept":             {finishManyQuery, append(twoFinishes(t), reportsOf(nil)...), []string{primaryKey}},
		"claim next":                   {plainClaims.next.free, []any{"w", time.Minute, []string{"t", "u"}, []string{"q"}, "b", 100, someFence, queue.MaxClaimBytes}, []string{claim, place}},
		"claim next, with limits":      {limitClaims.next.free, []any{"w", time.Minute, []string{"t", "u"}, []string{"q"}, "b", 100, someFence, queue.MaxClaimBytes}, []string{claim, place}},
		"claim next, all":              {plainClaims.next.free, []any{"w", time.Minute, []string{"t"}, []string{}, "", 1, someFence, queue.MaxClaimBytes}, []string{claim, place}},
		"claim next, all, with limits": {limitClaims.next.free, []any{"w", time.Minute, []string{"t"}, []string{}, "", 1, someFence, queue.MaxClaimBytes}, []string{claim, place}},
		"claim from":                   {plainClaims.from.free, []any{"w", time.Minute, []string{"t"}, []string{}, "", 1, someFence, 3, timeValue(time.Now()), one, true, queue.MaxClaimBytes}, []string{claim, place}},
		"claim from, with limits":      {limitClaims.from.free, []any{"w", time.Minute, []string{"t"}, []string{}, "", 1, someFence, 3, timeValue(time.Now()), one, true, queue.MaxClaimBytes}, []string{claim, place}},
		"measure a claim":              {plainClaims.above, []any{[]string{"t"}, []string{}, "", 3, 10, slowScan}, []string{claim}},
		"measure a claim, with limits": {limitClaims.above, []any{[]string{"t"}, []string{}, "", 3, 10, slowScan}, []string{claim}},
		"prefetch":                     {plainClaims.next.prefetching, []any{"w", time.Minute, []string{"t", "u"}, []string{"q"}, "b", 100, someFence, 10, ids, queue.MaxClaimBytes}, []string{claim, place}},
		"prefetch, with limits":        {limitClaims.next.prefetching, []any{"w", time.Minute, []string{"t", "u"}, []string{"q"}, "b", 100, someFence, 10, ids, queue.MaxClaimBytes}, []string{claim, place}},
		"prefetch from":                {plainClaims.from.prefetching, []any{"w", time.Minute, []string{"t"}, []string{}, "", 1, someFence, 3, timeValue(time.Now()), one, true, 0, ids, queue.MaxClaimBytes}, []string{claim, place}},
		"prefetch from, with limits":   {limitClaims.from.prefetching, []any{"w", time.Minute, []string{"t"}, []string{}, "", 1, someFence, 3, timeValue(time.Now()), one, true, 0, ids, queue.MaxClaimBytes}, []string{claim, place}},
		"claimed":                      {claimedQuery, []any{one, one}, []string{lease}},
		"unclaim":                      {unclaimQuery, []any{ids, ids}, []string{primaryKey}},
		"note errors":                  {noteErrorsQuery, []any{one, one, jsonValue([]byte("[]")), jsonValue([]byte("g")), jsonValue([]byte("t"))}, []string{primaryKey}},
		"lose worker":                  {loseWorkerQuery, []any{one, "[]", "RUNNING", 1, one, timeValue(time.Now()), "g", "t"}, []string{primaryKey}},
		"finish":                       {finishQuery, append([]any{one, one, "FAILED", jsonValue(nil), jsonValue(nil), jsonValue(nil), jsonValue(nil)}, noReport...), []string{primaryKey}},
		"retry":                        {retryQuery, append([]any{one, one, jsonValue(nil), int64(1), timeValue(time.Time{}), int64(0), true, true, jsonValue(nil), jsonValue(nil)}, noProgress...), []string{primaryKey}},
		"release":                      {releaseQuery, []any{one, one}, []string{primaryKey}},
		"heartbeat":                    {heartbeatQuery, []any{ids, ids, time.Minute}, []string{primaryKey}},
		"checkpoint":                   {checkpointQuery, []any{one, one}, []string{primaryKey}},
		"save checkpoint":              {saveCheckpointQuery, []any{one, one, jsonValue(nil), 0}, []string{primaryKey}},
		"release with a report":        {releaseReportQuery, append([]any{one, one}, noReport...), []string{primaryKey}},
		"heartbeat with reports":       {heartbeatReportsQuery, append([]any{ids, ids, time.Minute}, reportsOf(nil)...), []string{primaryKey}},
		"count ready":                  {countReadyQuery, []any{"b", "q", 1000}, []string{waiting}},
		"expire":                       {expireQuery, []any{100, "[]", "g", "t"}, []string{primaryKey, retention}},
		"expire one":                   {expireOneQuery, []any{one, "[]", "g", "t"}, []string{primaryKey}},
		"delete kept":                  {deleteKeptQuery, []any{100}, []string{primaryKey, retention}},
		"probe":                        {probeQuery, nil, []string{claim, held, lease, retention, waiting}},
		"release holds":                {releaseHoldsQuery, []any{100}, []string{primaryKey, held}},
		"reclaim":                      {reclaimQuery, []any{100}, []string{primaryKey, lease}},
		"lost":                         {lostQuery, []any{100}, []string{lease}},
		"cancel":                       {cancelQuery, []any{one}, []string{primaryKey}},
		"purge":                        {purgeQuery, []any{[]string{"SUCCESSFUL", "FAILED"}, time.Hour, "", 1000, timeValue(time.Unix(0, 0)), 100}, []string{primaryKey, finished}},
		"purge a task":                 {purgeQuery, []any{[]string{"SUCCESSFUL"}, time.Hour, "t", 1000, timeValue(time.Unix(0, 0)), 100}, []string{primaryKey, finished}},
		"figures due":                  {figuresDueQuery, []any{time.Hour}, []string{finished, "claimcheck_figures_pkey"}},
		"figures":                      {figuresQuery, []any{timeValue(time.Unix(0, 0)), timeValue(time.Now()), 100, "", "", ""}, []string{finished, "claimcheck_figures_pkey"}},
		"rows of figures":              {figureRowsQuery, []any{timeValue(time.Unix(0, 0)), timeValue(time.Now()), time.Hour}, []string{finished}},
		"working":                      {workingQuery, nil, []string{lease}},
		"count purgeable":              {countPurgeableQuery, []any{[]string{"SUCCESSFUL"}, time.Hour, ""}, []string{finished}},
		"stats":                        {stats, nil, []string{waiting, lease, finished}},
		"stats, queue":                 {statsOfQueue, []any{"rare"}, []string{waiting, lease, finished}},
		"abandoned":                    {abandonedAll, abandonedArgs, []string{lease}},
		"abandoned, some":              {abandonedSome, abandonedSomeArgs, []string{lease}},
		"requeue":                      {requeueQuery, []any{ids, ids, []pgtype.Timestamptz{timeValue(time.Now())}}, []string{primaryKey}},
		"still held":                   {stillHeldQuery, []any{ids, ids}, []string{primaryKey}},
		"stranded queues":              {strandedQueuesQuery, []any{"b"}, []string{waiting}},
		"extras":                       {extrasQuery, []any{ids}, []string{primaryKey}},
		"take stranded":                {takeStrandedQuery, []any{"b", "q", timeValue(time.Now()), 100}, []string{primaryKey, waiting}},
		"dispatch failed":              {dispatchFailedQuery, []any{ids, "no", 1}, []string{primaryKey}},
		"park":                         {parkQuery, []any{"q", 100}, []string{primaryKey, waiting}},
		"unpark":                       {unparkQuery, []any{"q", 100}, []string{primaryKey, waiting}},
		"none parked":                  {noneParkedQuery, []any{"q"}, []string{waiting}},
		"park delivered":               {parkDeliveredQuery, []any{"q", one}, []string{primaryKey}},
	} {
		for _, plan := range explain(t, conn, c.query, c.args) {
			for _, index := range c.indexes {
				if !strings.Contains(plan, index) {
					t.Errorf("%s: %s is not used:\n%s", name, index, plan)
				}
			}
			// A sort would mean that the whole backlog is visited, and locked; but
			// for that of the first rows of each status by purge.
			if strings.Contains(plan, "Seq Scan on claimcheck_tasks") || strings.Contains(strings.ReplaceAll(plan, sortOfFirst, ""), "Sort Key") {
				t.Errorf("%s: it visits the whole table:\n%s", name, plan)
			}
		}
	}
}

// Those of limits sort the few slots and lanes that they have found.
func TestEveryStatementOfLimitsUsesItsIndex(t *testing.T) {
	conn := planned(t, backlog)
	one := uuidValue(uuid.New())
	ids := []pgtype.UUID{one, uuidValue(uuid.New())}
	const primaryKey, claim, lease, unique = "claimcheck_tasks_pkey", "claimcheck_tasks_claim", "claimcheck_tasks_lease", "claimcheck_tasks_unique"
	const slotsIndex, limitedIndex = "claimcheck_slots_pkey", "claimcheck_tasks_limited"
	for name, c := range map[string]struct {
		query   string
		args    []any
		indexes []string
	}{
		"gates of a task":  {gatesOf + gatesOfTask, []any{one}, []string{primaryKey}},
		"slots":            {slotsStateQuery, append(oneNeed(), ids), []string{primaryKey, slotsIndex}},
		"make slots":       {makeSlotsQuery, oneNeed(), nil},
		"move down":        {moveDownQuery, nil, []string{primaryKey, slotsIndex}},
		"remove slots":     {removeUnusedQuery, []any{time.Hour}, []string{primaryKey, slotsIndex}},
		"uncounted":        {uncountedQuery, []any{time.Hour}, []string{lease, slotsIndex}},
		"lock claimed":     {lockClaimedQuery, append(oneNeed(), ids[:1], ids, 2, one, []string{"t"}, time.Second, true), []string{primaryKey, slotsIndex, unique}},
		"lock admitted":    {lockAdmittedQuery, append(oneNeed(), ids[:1], ids, 2), []string{primaryKey, slotsIndex}},
		"take claimed":     {takeClaimedQuery, append([]any{"w", time.Minute, ids, ids}, (&slots{}).params()...), []string{primaryKey, slotsIndex}},
		"take admitted":    {takeAdmittedQuery, append([]any{ids}, (&slots{}).params()...), []string{primaryKey, slotsIndex}},
		"wait":             {waitQuery, []any{one, 0, 0, timeValue(time.Time{}), 0}, []string{primaryKey}},
		"waiting":          {waitingQuery, []any{"queue", "q", "", one}, []string{limitedIndex, primaryKey}},
		"lanes":            {lanesQuery, []any{"b", "q", "t", "", 200}, []string{limitedIndex}},
		"top lanes":        {topLanesQuery, nil, []string{"claimcheck_tasks_limited_first"}},
		"lanes of a key":   {lanesOfKeyQuery, []any{"b", "t", "k", "q"}, []string{limitedIndex}},
		"first in lanes":   {firstInLanesQuery, []any{[]string{"b"}, []string{"q"}, []string{"t"}, []string{""}, 10, []string{"#k"}}, []string{limitedIndex}},
		"not admitted":     {notAdmittedQuery, []any{[]string{"b"}, []string{"q"}, []string{"t"}, []string{""}, 10, []string{"#k"}}, []string{limitedIndex}},
		"without a ticket": {noTicketQuery, []any{[]string{"b"}, []string{"q"}, []string{"t"}, []string{""}, 10, []string{"#k"}}, []string{limitedIndex}},
		"expect delivery":  {expectDeliveryQuery, []any{ids}, []string{primaryKey}},
		"hold":             {holdLimitedQuery, []any{[]string{"b"}, 500}, []string{primaryKey, claim}},
		"move":             {moveQuery, []any{[]string{"t"}, []string{}, ""}, []string{primaryKey, claim}},
		"use":              {limitUseQuery, []any{ids}, []string{lease, primaryKey, slotsIndex}},
		"others":           {othersQuery, []any{[]string{"t"}, []string{}, "", 10}, []string{claim}},
	} {
		for _, plan := range explain(t, conn, c.query, c.args) {
			for _, index := range c.indexes {
				if !strings.Contains(plan, index) {
					t.Errorf("%s: %s is not used:\n%s", name, index, plan)
				}
			}
			if strings.Contains(plan, "Seq Scan") {
				t.Errorf("%s: it visits a whole table:\n%s", name, plan)
			}
		}
	}
}

// A queue fills up between two ANALYZEs: to the planner there is no READY row, and
// no RUNNING one, when the claims and their ends come. A new table has no statistics
// at all, and plans that were made while it was empty are kept.
func TestStatementsUseTheirIndexWhenStatisticsAreOldOrMissing(t *testing.T) {
	const ready = `
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, hold, args, run_after, dispatch_due_at, enqueued_at, attempts, max_attempts)
SELECT gen_random_uuid(), 't', 'q', 'b', 0, 'READY', n % 2, '1', CASE WHEN n % 2 = 1 THEN now() END, now(), now(), 0, 3 FROM generate_series(1, 20000) AS n`
	for name, rows := range map[string]string{
		"old": `
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, args, dispatch_due_at, enqueued_at, attempts, max_attempts, claim_id, finished_at)
SELECT gen_random_uuid(), 't', 'q', 'b', 0, 'SUCCESSFUL', '1', now(), now(), 1, 3, gen_random_uuid(), now() FROM generate_series(1, 50000);
ANALYZE claimcheck_tasks;
INSERT INTO claimcheck_tasks (id, task_path, queue_name, backend_name, priority, status, args, dispatch_due_at, enqueued_at, attempts, max_attempts, claim_id, lease_expires_at)
SELECT gen_random_uuid(), 't', 'q', 'b', 0, 'RUNNING', '1', now(), now(), 1, 3, gen_random_uuid(), now() FROM generate_series(1, 1000) AS n;` + ready,
		"missing":               ready,
		"missing, and no row":   `SELECT`,
		"missing, and few rows": strings.Replace(ready, "20000", "100", 1),
	} {
		t.Run(name, func(t *testing.T) {
			conn := planned(t, rows)
			checkFrequentPlans(t, conn)
			if name != "old" {
				return
			}
			// Connections of a caller's pool do not have these settings.
			if _, err := conn.Exec(t.Context(), `RESET enable_seqscan; RESET enable_bitmapscan; RESET enable_hashjoin; RESET enable_mergejoin`); err != nil {
				t.Fatal(err)
			}
			checkFrequentPlans(t, conn)
		})
	}
}

// checkFrequentPlans checks the statements whose number depends on that of the tasks.
func checkFrequentPlans(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	ids := []pgtype.UUID{uuidValue(uuid.New()), uuidValue(uuid.New())}
	for name, c := range map[string]struct {
		query string
		args  []any
		index string
	}{
		"claim":                      {plainClaims.one, []any{"w", time.Minute, []string{"t"}, time.Second, ids[0], ids[1]}, "claimcheck_tasks_pkey"},
		"claim, with limits":         {limitClaims.one, []any{"w", time.Minute, []string{"t"}, time.Second, ids[0], ids[1]}, "claimcheck_tasks_pkey"},
		"claim many":                 {plainClaims.many, []any{"w", time.Minute, []string{"t"}, time.Second, ids, ids}, "claimcheck_tasks_pkey"},
		"claim many, with limits":    {limitClaims.many, []any{"w", time.Minute, []string{"t"}, time.Second, ids, ids}, "claimcheck_tasks_pkey"},
		"insert keyed":               {insertKeyedBriefQuery, keyedRows(t), "claimcheck_tasks_unique"},
		"holders":                    {holdersQuery, []any{[]string{"t", "u"}, []string{"a", "b"}}, "claimcheck_tasks_unique"},
		"replace":                    {replaceQuery, []any{ids[0], "[]", 1, timeValue(time.Time{}), int64(0), true, timeValue(time.Time{}), int64(0), "", ""}, "claimcheck_tasks_pkey"},
		"finish":                     {finishQuery, append([]any{ids[0], ids[1], "FAILED", jsonValue(nil), jsonValue(nil), jsonValue(nil), jsonValue(nil)}, noReport...), "claimcheck_tasks_pkey"},
		"finish many":                {finishManyPlainQuery, twoFinishes(t), "claimcheck_tasks_pkey"},
		"finish many kept":           {finishManyQuery, append(twoFinishes(t), reportsOf(nil)...), "claimcheck_tasks_pkey"},
		"retry":                      {retryQuery, append([]any{ids[0], ids[1], jsonValue(nil), int64(1), timeValue(time.Time{}), int64(0), true, true, jsonValue(nil), jsonValue(nil)}, noProgress...), "claimcheck_tasks_pkey"},
		"release":                    {releaseQuery, []any{ids[0], ids[1]}, "claimcheck_tasks_pkey"},
		"heartbeat":                  {heartbeatQuery, []any{ids, ids, time.Minute}, "claimcheck_tasks_pkey"},
		"checkpoint":                 {checkpointQuery, []any{ids[0], ids[1]}, "claimcheck_tasks_pkey"},
		"save checkpoint":            {saveCheckpointQuery, []any{ids[0], ids[1], jsonValue(nil), 0}, "claimcheck_tasks_pkey"},
		"heartbeat with reports":     {heartbeatReportsQuery, append([]any{ids, ids, time.Minute}, reportsOf(nil)...), "claimcheck_tasks_pkey"},
		"still held":                 {stillHeldQuery, []any{ids, ids}, "claimcheck_tasks_pkey"},
		"requeue":                    {requeueQuery, []any{ids, ids, []pgtype.Timestamptz{timeValue(time.Now())}}, "claimcheck_tasks_pkey"},
		"cancel":                     {cancelQuery, []any{ids[0]}, "claimcheck_tasks_pkey"},
		"dispatch failed":            {dispatchFailedQuery, []any{ids, "no", 1}, "claimcheck_tasks_pkey"},
		"claim next":                 {plainClaims.next.free, []any{"w", time.Minute, []string{"t", "u"}, []string{}, "", 20, someFence, queue.MaxClaimBytes}, "claimcheck_tasks_claim"},
		"claim next, with limits":    {limitClaims.next.free, []any{"w", time.Minute, []string{"t", "u"}, []string{}, "", 20, someFence, queue.MaxClaimBytes}, "claimcheck_tasks_claim"},
		"claim from":                 {plainClaims.from.free, []any{"w", time.Minute, []string{"t", "u"}, []string{}, "", 20, someFence, 0, timeValue(time.Now()), ids[0], true, queue.MaxClaimBytes}, "claimcheck_tasks_claim"},
		"claim from, with limits":    {limitClaims.from.free, []any{"w", time.Minute, []string{"t", "u"}, []string{}, "", 20, someFence, 0, timeValue(time.Now()), ids[0], true, queue.MaxClaimBytes}, "claimcheck_tasks_claim"},
		"prefetch":                   {plainClaims.next.prefetching, []any{"w", time.Minute, []string{"t", "u"}, []string{}, "", 20, someFence, 5, ids, queue.MaxClaimBytes}, "claimcheck_tasks_claim"},
		"prefetch, with limits":      {limitClaims.next.prefetching, []any{"w", time.Minute, []string{"t", "u"}, []string{}, "", 20, someFence, 5, ids, queue.MaxClaimBytes}, "claimcheck_tasks_claim"},
		"prefetch from":              {plainClaims.from.prefetching, []any{"w", time.Minute, []string{"t", "u"}, []string{}, "", 20, someFence, 0, timeValue(time.Now()), ids[0], true, 5, ids, queue.MaxClaimBytes}, "claimcheck_tasks_claim"},
		"prefetch from, with limits": {limitClaims.from.prefetching, []any{"w", time.Minute, []string{"t", "u"}, []string{}, "", 20, someFence, 0, timeValue(time.Now()), ids[0], true, 5, ids, queue.MaxClaimBytes}, "claimcheck_tasks_claim"},
		"unclaim":                    {unclaimQuery, []any{ids, ids}, "claimcheck_tasks_pkey"},
		"note errors":                {noteErrorsQuery, []any{ids[0], ids[1], jsonValue([]byte("[]")), jsonValue([]byte("g")), jsonValue([]byte("t"))}, "claimcheck_tasks_pkey"},
		"probe":                      {probeQuery, nil, "claimcheck_tasks_claim"},
		"release holds":              {releaseHoldsQuery, []any{100}, "claimcheck_tasks_held"},
	} {
		for _, plan := range explain(t, conn, c.query, c.args) {
			lease := c.index == "claimcheck_tasks_pkey" && strings.Contains(plan, "using claimcheck_tasks_lease")
			// The gates are few.
			visits := strings.Contains(strings.ReplaceAll(plan, "Seq Scan on claimcheck_gates", ""), "Seq Scan")
			if !strings.Contains(plan, c.index) || lease || strings.Contains(plan, "Sort Key") || visits {
				t.Errorf("%s does not go by %s:\n%s", name, c.index, plan)
			}
		}
	}
}
