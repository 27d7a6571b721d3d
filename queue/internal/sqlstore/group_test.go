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
		"wrong":   {wrongMembers, []any{100}, []string{"claimcheck_groups_unfinished", state, "autoindex"}},
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

// What an older program, or a statement by hand, does with members is found by the next
// look for groups that are due.
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
		if _, err := s.CompleteGroup(t.Context(), group.ID, 0, func(*queue.NewRow) {}); err != nil {
			t.Fatal(err)
		}
		byHand(`UPDATE claimcheck_tasks SET status = 'READY', finished_at = NULL WHERE id = ?`, 1)
		expect("reopened", 0, queue.GroupCounts{Ready: 3, Successful: 1, Cancelled: 1})
	}
}
