package storetest

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

const (
	successTask = "group.success"
	failureTask = "group.failure"
)

func (f *fixture) grouper() queue.Grouper { return f.store.(queue.Grouper) }

// newGroup is a group that enqueues a task at either end.
func newGroup() *queue.Group {
	return &queue.Group{
		ID: uuid.Must(uuid.NewV7()), Name: "grüße",
		OnSuccess: &queue.Completion{Task: successTask, Args: json.RawMessage(`{"n":1}`), Queue: "ends", Backend: "default", Priority: 3, MaxAttempts: 4},
		OnFailure: &queue.Completion{Task: failureTask, Args: json.RawMessage(`[2]`), Queue: "ends", Backend: "default", MaxAttempts: 1},
	}
}

// createGroup creates such a group.
func (f *fixture) createGroup() *queue.Group {
	f.Helper()
	g := newGroup()
	f.must(f.grouper().CreateGroup(f.ctx, nil, g))
	return g
}

func inGroup(id uuid.UUID) func(*queue.NewRow) { return func(r *queue.NewRow) { r.Group = id } }

// group reads a group.
func (f *fixture) group(id uuid.UUID) *queue.Group {
	f.Helper()
	page, err := f.grouper().Groups(f.ctx, queue.GroupsRequest{IDs: []uuid.UUID{id}, Limit: 1})
	f.must(err)
	if len(page.Groups) != 1 {
		f.Fatalf("%d groups", len(page.Groups))
	}
	return page.Groups[0]
}

// counted compares the counts of a group.
func (f *fixture) counted(what string, id uuid.UUID, want queue.GroupCounts) {
	f.Helper()
	want.Total = want.Ready + want.Running + want.Successful + want.Failed + want.Cancelled
	f.equal(what, f.group(id).GroupCounts, want)
}

// completes completes a group and compares the tasks that this has enqueued, and that the
// store found the group to be due just then.
func (f *fixture) completes(what string, id uuid.UUID, want ...string) {
	f.Helper()
	due, err := f.grouper().DueGroups(f.ctx, uuid.Nil, 10)
	f.must(err)
	before := f.group(id)
	prepared := 0
	var tasks []string
	rows, err := f.grouper().CompleteGroup(f.ctx, id, func(r *queue.NewRow) { r.WillDispatch = true; prepared++ })
	f.must(err)
	for _, row := range rows {
		f.unchanged(row.Row)
		success := row.Task == successTask
		f.equal("the id of "+row.Task, row.ID, queue.CompletionID(id, success))
		f.equal("of the group", []uuid.UUID{row.Completes, row.Group}, []uuid.UUID{id, uuid.Nil})
		tasks = append(tasks, row.Task)
	}
	f.equal("prepared", prepared, len(rows))
	after := f.group(id)
	isDue := after.SucceededAt != before.SucceededAt || after.FailedAt != before.FailedAt
	f.equal(what+": was due", slices.Contains(due, id), isDue)
	f.equal(what, tasks, want)
}

func (f *fixture) closeGroup(id uuid.UUID) {
	f.Helper()
	f.must(f.grouper().CloseGroup(f.ctx, nil, id))
}

// insertExisting inserts a row with an ID that exists.
func (f *fixture) insertExisting(id uuid.UUID, changes ...func(*queue.NewRow)) *queue.NewRow {
	f.Helper()
	row := request(append(changes, withID(id))...)
	f.must(f.store.Insert(f.ctx, row))
	return row
}

// refusesMember expects an insert of a row to fail, and to store nothing.
func (f *fixture) refusesMember(row *queue.NewRow, want error) {
	f.Helper()
	beside := request()
	if err := f.store.Insert(f.ctx, beside, row); !errors.Is(err, want) {
		f.Errorf("Insert: %v, want %v", err, want)
	}
	f.absent(row.ID)
	f.absent(beside.ID)
}

// deletes deletes one row by a bulk action.
func (f *fixture) deletes(id uuid.UUID) {
	f.Helper()
	rows, err := f.operator.Act(f.ctx, queue.ActionDelete, queue.Selection{IDs: []uuid.UUID{id}}, f.now(), 2)
	f.must(err)
	f.equal("deleted", len(rows), 1)
}
