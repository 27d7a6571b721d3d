package pgstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
)

// manyGroups are groups of which one is large, and some have to be completed.
const manyGroups = `
INSERT INTO claimcheck_groups (id, name, created_at, closed_at, succeeded_at)
SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'g', now() - n * interval '1 second', now(), CASE WHEN n % 10 > 0 THEN now() END FROM generate_series(1, 2000) AS n;
INSERT INTO claimcheck_group_members (group_id, task_id, state)
SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, gen_random_uuid(), 1 FROM generate_series(1, 2000) AS n, generate_series(1, 10)
UNION ALL
SELECT '00000000-0000-0000-0000-000000000007'::uuid, gen_random_uuid(), n % 2 FROM generate_series(1, 20000) AS n;`

func TestStatementsAboutGroupsUseTheirIndexes(t *testing.T) {
	one := uuidValue(uuid.MustParse("00000000-0000-0000-0000-000000000007"))
	two := uuidValues([]uuid.UUID{uuid.New(), uuid.New()})
	const groups, members, state = "claimcheck_groups_pkey", "claimcheck_group_members_pkey", "claimcheck_group_members_state"
	for _, analyze := range []string{"", "ANALYZE claimcheck_groups, claimcheck_group_members;"} {
		conn := planned(t, backlog+";"+manyGroups+analyze)
		for name, c := range map[string]struct {
			query   string
			args    []any
			indexes []string
		}{
			"is due":      {isDueQuery, []any{one}, []string{state}},
			"due":         {dueGroupsQuery, []any{100, one}, []string{state, "claimcheck_groups_unfinished"}},
			"end":         {groupEndQuery, []any{one}, []string{groups, state}},
			"lock":        {lockGroupQuery, []any{one}, []string{groups}},
			"close":       {closeQuery, []any{one}, []string{groups}},
			"share":       {shareQuery, []any{two}, []string{groups}},
			"add":         {addMembersQuery, []any{two, two}, nil},
			"add once":    {addMembersOnceQuery, []any{two, two}, nil},
			"list":        {groupsQuery, []any{timeValue(time.Now()), one, 51}, []string{"claimcheck_groups_created"}},
			"list some":   {groupsOfQuery, []any{two}, []string{groups}},
			"counts":      {memberCountsQuery, []any{two}, []string{state}},
			"others":      {otherCountsQuery, []any{two}, []string{state}},
			"upkeep":      {unfinishedGroupsQuery, []any{one, 20}, []string{"claimcheck_groups_unfinished"}},
			"keep counts": {keepCountsQuery, []any{two}, []string{groups, state}},
			"running":     {runningOfQuery, []any{two}, []string{"claimcheck_tasks_lease"}},
			"members":     {membersQuery, []any{one, one, []int64{0, 4}, 1000}, []string{"claimcheck_group_members_"}},
			"some":        {someMembersQuery, []any{one, one, []int64{1, 5}, 1000, two}, []string{"claimcheck_group_members_"}},
			"all members": {membersQuery, []any{one, one, []int64{}, 1000}, []string{members}},
			"over":        {overQuery, []any{time.Hour, 100, time.Time{}, one}, []string{state, "claimcheck_tasks_pkey"}},
			"completions": {completionsQuery, []any{two}, []string{"claimcheck_tasks_pkey"}},
			"delete":      {deleteGroupsQuery, []any{two}, []string{groups}},
		} {
			for _, plan := range explain(t, conn, c.query, c.args) {
				for _, index := range c.indexes {
					if !strings.Contains(plan, index) {
						t.Errorf("%s: %s is not used:\n%s", name, index, plan)
					}
				}
				if strings.Contains(plan, "Seq Scan on claimcheck_") {
					t.Errorf("%s: it reads a whole table:\n%s", name, plan)
				}
			}
		}
	}
}

// A task that is in no group pays for a condition, and for nothing else.
func TestOnlyMembersCallATrigger(t *testing.T) {
	url := testdb.Postgres(t)
	s, err := Open(t.Context(), Config{URL: url, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	group := &queue.Group{ID: uuid.New()}
	if err := s.CreateGroup(t.Context(), nil, group); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, member := range []uuid.UUID{uuid.Nil, group.ID} {
		row := &queue.NewRow{Row: &queue.Row{ID: uuid.New(), Task: "t", Queue: "q", Backend: "b", Args: []byte(`1`), MaxAttempts: 3, Group: member}, FreshID: true}
		if err := s.Insert(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		claimed, err := s.Claim(t.Context(), row.ID, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: queue.NewClaimID()})
		if err != nil {
			t.Fatal(err)
		}
		result, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "+finishPlainQuery, uuidValue(row.ID), uuidValue(claimed.ClaimID), "SUCCESSFUL", jsonValue(nil), jsonValue(nil), jsonValue(nil), jsonValue(nil))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(result, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(lines, "\n")
		if called := strings.Contains(plan, "Trigger "); called != (member != uuid.Nil) || !strings.Contains(plan, "actual rows=1") {
			t.Errorf("group %s:\n%s", member, plan)
		}
	}
}

// Whatever ends a task of a group, its own statement counts it: so do older programs, which
// know nothing of groups, and statements by hand.
func TestStatementsByHandAreCounted(t *testing.T) {
	url := testdb.Postgres(t)
	s, err := Open(t.Context(), Config{URL: url, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	group := &queue.Group{ID: uuid.New()}
	if err := s.CreateGroup(t.Context(), nil, group); err != nil {
		t.Fatal(err)
	}
	var rows []*queue.NewRow
	for range 4 {
		rows = append(rows, &queue.NewRow{Row: &queue.Row{ID: uuid.New(), Task: "t", Queue: "q", Backend: "b", Args: []byte(`1`), MaxAttempts: 3, Group: group.ID}})
	}
	if err := s.Insert(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
	end := func(i int, status, at string) string {
		return fmt.Sprintf("UPDATE claimcheck_tasks SET status = '%s', hold = NULL, finished_at = %s WHERE id = '%s'", status, at, rows[i].ID)
	}
	for _, statement := range []string{
		end(0, "SUCCESSFUL", "now()"), end(1, "FAILED", "now() - interval '1 hour'"), end(2, "FAILED", "now()"), end(2, "READY", "NULL"),
		fmt.Sprintf("DELETE FROM claimcheck_tasks WHERE id IN ('%s', '%s')", rows[3].ID, rows[0].ID),
	} {
		testdb.Exec(t, url, statement)
	}
	page, err := s.Groups(t.Context(), queue.GroupsRequest{IDs: []uuid.UUID{group.ID}, Limit: 1})
	want := queue.GroupCounts{Total: 4, Ready: 1, Successful: 1, Failed: 1, Cancelled: 1}
	if err != nil || page.Groups[0].GroupCounts != want {
		t.Errorf("%+v, %v", page.Groups[0], err)
	}
	for range 3 { // the counts of finished rows are right as well
		if _, err := s.CountFinished(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if stats, err := s.Stats(t.Context(), queue.Filter{}); err != nil || stats.Failed != 1 || stats.Successful != 0 || stats.Pending != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// A transaction whose snapshot is from before a group was closed does not add to it.
func TestAnOldSnapshotAddsNothingToAClosedGroup(t *testing.T) {
	url := testdb.Postgres(t)
	s, err := Open(t.Context(), Config{URL: url, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	group := &queue.Group{ID: uuid.New()}
	if err := s.CreateGroup(t.Context(), nil, group); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, closes := range []bool{false, true} {
		tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "SELECT FROM claimcheck_groups"); err != nil {
			t.Fatal(err)
		}
		// A failure does not keep it from adding.
		testdb.Exec(t, url, "UPDATE claimcheck_groups SET failed_at = now()")
		if closes {
			if err := s.CloseGroup(t.Context(), nil, group.ID); err != nil {
				t.Fatal(err)
			}
		}
		err = s.InsertTx(t.Context(), Tx(tx), &queue.NewRow{Row: &queue.Row{ID: uuid.New(), Task: "t", Queue: "q", Backend: "b", Args: []byte(`1`), MaxAttempts: 3, Group: group.ID}})
		if closes && !errors.Is(err, queue.ErrContended) || !closes && err != nil {
			t.Errorf("closed %v: %v", closes, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A page of groups that cannot change any more counts nothing: the members are changed by
// hand, and their counts stay.
func TestCountsThatCannotChangeAreKept(t *testing.T) {
	url := testdb.Postgres(t)
	s, err := Open(t.Context(), Config{URL: url, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	want := make(map[uuid.UUID]queue.GroupCounts)
	for _, ends := range []queue.GroupCounts{{Successful: 3}, {Successful: 1, Cancelled: 2}, {Cancelled: 1}} {
		group := &queue.Group{ID: uuid.New()}
		if err := s.CreateGroup(t.Context(), nil, group); err != nil {
			t.Fatal(err)
		}
		ends.Total = ends.Successful + ends.Cancelled
		for i := range ends.Total {
			row := &queue.NewRow{Row: &queue.Row{ID: uuid.New(), Task: "t", Queue: "q", Backend: "b", Args: []byte(`1`), MaxAttempts: 3, Group: group.ID}}
			if err := s.Insert(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			status := "SUCCESSFUL"
			if i >= ends.Successful {
				status = "CANCELLED"
			}
			testdb.Exec(t, url, fmt.Sprintf("UPDATE claimcheck_tasks SET status = '%s', hold = NULL, finished_at = now() WHERE id = '%s'", status, row.ID))
		}
		if err := s.CloseGroup(t.Context(), nil, group.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CompleteGroup(t.Context(), group.ID, func(*queue.NewRow) {}); err != nil {
			t.Fatal(err)
		}
		want[group.ID] = ends
	}
	if _, err := s.MaintainGroups(t.Context(), uuid.Nil, 10); err != nil {
		t.Fatal(err)
	}
	testdb.Exec(t, url, "DELETE FROM claimcheck_group_members")
	page, err := s.Groups(t.Context(), queue.GroupsRequest{Limit: 10})
	if err != nil || len(page.Groups) != len(want) {
		t.Fatalf("%d groups, %v", len(page.Groups), err)
	}
	for _, g := range page.Groups {
		if g.GroupCounts != want[g.ID] {
			t.Errorf("counted again: %+v, want %+v", g.GroupCounts, want[g.ID])
		}
	}
}
