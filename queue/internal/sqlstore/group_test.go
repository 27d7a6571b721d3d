package sqlstore

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestStatementsAboutGroupsUseTheirIndexes(t *testing.T) {
	s := onSQLite(t)
	const state = "claimcheck_group_members_state"
	for name, c := range map[string]struct {
		query   string
		args    []any
		indexes []string
	}{
		"due":     {dueGroupsQuery, []any{"g", 1}, []string{"claimcheck_groups_unfinished", state}},
		"end":     {`SELECT ` + allSucceeded + `, ` + anyFailed + ` FROM claimcheck_groups AS g WHERE g.id = ?`, []any{"g"}, []string{state}},
		"list":    {groupsQuery, []any{1, 1, "g", 10}, []string{"claimcheck_groups_created"}},
		"member":  {memberQuery, []any{1, 1, 1, "g", "t"}, []string{"PRIMARY KEY (group_id=? AND task_id=?)"}},
		"wrong":   {wrongMembers(1), []any{"g"}, []string{state, "autoindex"}},
		"upkeep":  {unfinishedGroups, []any{"g", 20}, []string{"claimcheck_groups_unfinished"}},
		"counts":  {countsToKeep(1), []any{"g"}, []string{state}},
		"over":    {overQuery, []any{1, 1, "g", 1, 1, 1, 1, 10}, []string{"claimcheck_groups_created", state}},
		"waiting": {`SELECT ` + groupsWait, nil, []string{"claimcheck_groups_unfinished"}},
	} {
		var plan strings.Builder
		rows, err := s.reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+c.query, c.args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer rows.Close()
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(detail + "\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		for _, index := range c.indexes {
			if !strings.Contains(plan.String(), index) {
				t.Errorf("%s: %s is not used:\n%s", name, index, plan.String())
			}
		}
		for line := range strings.Lines(plan.String()) {
			if strings.HasPrefix(line, "SCAN claimcheck") && !strings.Contains(line, "INDEX") {
				t.Errorf("%s: it reads a whole table:\n%s", name, plan.String())
			}
		}
	}
}

// What an older program, or a statement by hand, does with members is found by the upkeep.
func TestMembersThatNobodyCountedAreRepaired(t *testing.T) {
	for name, s := range map[string]*Store{"SQLite": onSQLite(t), "MariaDB": onMariaDB(t)} {
		group := &queue.Group{ID: uuid.New(), OnSuccess: &queue.Completion{Task: "end", Args: []byte(`1`), Queue: "q", Backend: "b", MaxAttempts: 1}}
		if err := s.CreateGroup(t.Context(), nil, group); err != nil {
			t.Fatal(err)
		}
		var rows []*queue.NewRow
		for range 5 {
			rows = append(rows, &queue.NewRow{Row: &queue.Row{ID: uuid.New(), Task: "t", Queue: "q", Backend: "b", Args: []byte(`1`), MaxAttempts: 3, Group: group.ID}})
		}
		if err := s.Insert(t.Context(), rows...); err != nil {
			t.Fatal(err)
		}
		byHand := func(statement string, row int) {
			t.Helper()
			err := s.write(t.Context(), "by hand", func(ctx context.Context, tx querier, _ time.Time) error {
				_, err := tx.ExecContext(ctx, statement, rows[row].ID)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		expect := func(what string, due int, want queue.GroupCounts) {
			t.Helper()
			if last, err := s.MaintainGroups(t.Context(), uuid.Nil, 10); err != nil || last != uuid.Nil {
				t.Errorf("%s, %s: %v, %v", name, what, last, err)
			}
			ids, err := s.DueGroups(t.Context(), uuid.Nil, 10)
			if err != nil || len(ids) != due {
				t.Errorf("%s, %s: %v, %v", name, what, ids, err)
			}
			page, err := s.Groups(t.Context(), queue.GroupsRequest{IDs: []uuid.UUID{group.ID}, Limit: 1})
			if want.Total = 5; err != nil || page.Groups[0].GroupCounts != want {
				t.Errorf("%s, %s: %+v, %v", name, what, page.Groups[0].GroupCounts, err)
			}
		}
		expect("as stored", 0, queue.GroupCounts{Ready: 5})
		byHand(`UPDATE claimcheck_tasks SET status = 'SUCCESSFUL', finished_at = 1 WHERE id = ?`, 0)
		byHand(`UPDATE claimcheck_tasks SET status = 'FAILED', finished_at = 1 WHERE id = ?`, 1)
		byHand(`DELETE FROM claimcheck_tasks WHERE id = ?`, 2)
		expect("ended", 1, queue.GroupCounts{Ready: 2, Successful: 1, Failed: 1, Cancelled: 1})
		if _, err := s.CompleteGroup(t.Context(), group.ID, func(*queue.NewRow) {}); err != nil {
			t.Fatal(err)
		}
		byHand(`UPDATE claimcheck_tasks SET status = 'READY', finished_at = NULL WHERE id = ?`, 1)
		expect("reopened", 0, queue.GroupCounts{Ready: 3, Successful: 1, Cancelled: 1})
	}
}

// A page of groups that cannot change any more counts nothing: the members are changed by
// hand, and their counts stay.
func TestCountsThatCannotChangeAreKept(t *testing.T) {
	for name, s := range map[string]*Store{"SQLite": onSQLite(t), "MariaDB": onMariaDB(t)} {
		members := func(succeeded, cancelled int) (id uuid.UUID) {
			t.Helper()
			group := &queue.Group{ID: uuid.New()}
			if err := s.CreateGroup(t.Context(), nil, group); err != nil {
				t.Fatal(err)
			}
			var rows []*queue.NewRow
			for range succeeded + cancelled {
				rows = append(rows, &queue.NewRow{Row: &queue.Row{ID: uuid.New(), Task: "t", Queue: "q", Backend: "b", Args: []byte(`1`), MaxAttempts: 3, Group: group.ID}})
			}
			if err := s.Insert(t.Context(), rows...); err != nil {
				t.Fatal(err)
			}
			for i, row := range rows {
				if i >= succeeded {
					if _, _, err := s.Cancel(t.Context(), row.ID); err != nil {
						t.Fatal(err)
					}
					continue
				}
				claimed, err := s.Claim(t.Context(), row.ID, queue.ClaimRequest{Tasks: []string{"t"}, Worker: "w", Lease: time.Minute, ClaimID: queue.NewClaimID()})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Finish(t.Context(), claimed.Claim(), queue.Finish{Status: queue.StatusSuccessful}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.CloseGroup(t.Context(), nil, group.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := s.CompleteGroup(t.Context(), group.ID, func(*queue.NewRow) {}); err != nil {
				t.Fatal(err)
			}
			return group.ID
		}
		want := map[uuid.UUID]queue.GroupCounts{
			members(3, 0): {Total: 3, Successful: 3},
			members(1, 2): {Total: 3, Successful: 1, Cancelled: 2},
			members(0, 1): {Total: 1, Cancelled: 1},
		}
		if _, err := s.MaintainGroups(t.Context(), uuid.Nil, 10); err != nil {
			t.Fatal(err)
		}
		err := s.write(t.Context(), "by hand", func(ctx context.Context, tx querier, _ time.Time) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM claimcheck_group_members`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		page, err := s.Groups(t.Context(), queue.GroupsRequest{Limit: 10})
		if err != nil || len(page.Groups) != len(want) {
			t.Fatalf("%s: %d groups, %v", name, len(page.Groups), err)
		}
		for _, g := range page.Groups {
			if g.GroupCounts != want[g.ID] {
				t.Errorf("%s: counted again: %+v, want %+v", name, g.GroupCounts, want[g.ID])
			}
		}
	}
}
