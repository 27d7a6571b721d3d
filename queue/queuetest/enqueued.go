package queuetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Enqueued is a task that was enqueued.
type Enqueued[In any] struct {
	*queue.Row
	Args In
}

// newest bounds how many rows of a task are looked at: its newest ones.
const newest = 1000

// RequireEnqueued requires that the task was enqueued exactly once so that all of match
// hold, or as often as [Times] says, and returns it: the one that was enqueued first. It
// counts whatever has become of it since, unless [Status] is among match. Otherwise it ends
// the test, and says what was enqueued instead and how that differs.
func RequireEnqueued[In, Out any](t testing.TB, c *queue.Client, task *queue.Task[In, Out], match ...Match) *Enqueued[In] {
	t.Helper()
	return require(t, reader{t, c, nil}, task, match)
}

// RequireEnqueuedTx is [RequireEnqueued] within a transaction that the code under test has
// enqueued in, so that the test can roll it back: pgstore.Tx(tx), for example.
func RequireEnqueuedTx[In, Out any](t testing.TB, c *queue.Client, tx queue.Tx, task *queue.Task[In, Out], match ...Match) *Enqueued[In] {
	t.Helper()
	return require(t, reader{t, c, tx}, task, match)
}

// RequireNone requires that the task was not enqueued so that all of match hold; without
// match, not at all. A task that the client does not know ends the test: a mistake in the
// name would pass otherwise.
func RequireNone[In, Out any](t testing.TB, c *queue.Client, task *queue.Task[In, Out], match ...Match) {
	t.Helper()
	requireNone(t, reader{t, c, nil}, task, match)
}

// RequireNoneTx is [RequireNone] within a transaction.
func RequireNoneTx[In, Out any](t testing.TB, c *queue.Client, tx queue.Tx, task *queue.Task[In, Out], match ...Match) {
	t.Helper()
	requireNone(t, reader{t, c, tx}, task, match)
}

func requireNone[In, Out any](t testing.TB, rows reader, task *queue.Task[In, Out], match []Match) {
	t.Helper()
	if _, known := registered(rows.c, task.Name()); !known {
		t.Fatalf("queuetest: task %s is not registered in this client, which cannot have enqueued it: pass the client of the code under test", task.Name())
	}
	matching, _ := find(t, rows, task, match)
	if len(matching) == 0 {
		return
	}
	var text strings.Builder
	fmt.Fprintf(&text, "queuetest: want no task %s%s; enqueued were:", task.Name(), conditions(match))
	for _, e := range matching {
		fmt.Fprintf(&text, "\n  %s, args %s", describe(e.Row), argsOf(e.Row))
	}
	t.Fatal(text.String())
}

// All returns the tasks of this name that were enqueued so that all of match hold, oldest
// first.
func All[In, Out any](t testing.TB, c *queue.Client, task *queue.Task[In, Out], match ...Match) []*Enqueued[In] {
	t.Helper()
	matching, _ := find(t, reader{t, c, nil}, task, match)
	return matching
}

// different is a row of the task that does not match.
type different struct {
	row *queue.Row
	how []string
}

// require returns the first of the tasks found if there are as many as wanted.
func require[In, Out any](t testing.TB, rows reader, task *queue.Task[In, Out], match []Match) *Enqueued[In] {
	t.Helper()
	want := times(match)
	matching, others := find(t, rows, task, match)
	if len(matching) == want {
		return matching[0]
	}
	noun := "task"
	if want > 1 {
		noun = "tasks"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "queuetest: want %d %s %s%s, found %d", want, noun, task.Name(), conditions(match), len(matching))
	for _, e := range matching {
		fmt.Fprintf(&text, "\n  matches: %s, args %s", describe(e.Row), argsOf(e.Row))
	}
	for _, d := range others {
		fmt.Fprintf(&text, "\n  differs: %s\n    %s", describe(d.row), strings.Join(d.how, "\n    "))
	}
	text.WriteString(rows.besides(task.Name(), len(matching)+len(others)))
	t.Fatal(text.String())
	return nil
}

// conditions describes what is wanted, for after the name of a task.
func conditions(match []Match) string {
	var parts []string
	for _, m := range match {
		if m.text != "" {
			parts = append(parts, m.text)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " with " + strings.Join(parts, ", ")
}

func argsOf(row *queue.Row) string {
	const most = 300
	if len(row.Args) > most {
		return string(row.Args[:most]) + " … (cut)"
	}
	return string(row.Args)
}

// find returns the rows of a task, oldest first: those that match, and the others.
func find[In, Out any](t testing.TB, rows reader, task *queue.Task[In, Out], match []Match) (matching []*Enqueued[In], others []different) {
	t.Helper()
	for _, m := range match {
		if err := m.check(reflect.TypeFor[In](), task.Name()); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range slices.Backward(rows.list(queue.Selection{Task: task.Name()}, newest)) {
		e := &Enqueued[In]{Row: rows.get(row.ID)}
		var how []string
		if err := json.Unmarshal(e.Row.Args, &e.Args); err != nil {
			how = append(how, fmt.Sprintf("args %s are no %T: %v", argsOf(e.Row), e.Args, err))
		} else {
			how = differences(match, e.Row, e.Args)
		}
		if len(how) > 0 {
			others = append(others, different{e.Row, how})
		} else {
			matching = append(matching, e)
		}
	}
	return matching, others
}

// reader reads the rows of a client's store, in a transaction if there is one.
type reader struct {
	t  testing.TB
	c  *queue.Client
	tx queue.Tx
}

// list returns up to limit of the selected rows, in the order of the view.
func (r reader) list(s queue.Selection, limit int) []*queue.Row {
	r.t.Helper()
	var rows []*queue.Row
	for after := ""; len(rows) < limit; {
		page, err := r.page(queue.ListRequest{Selection: s, After: after, Limit: limit - len(rows)})
		if err != nil {
			r.t.Fatalf("queuetest: listing tasks: %v", err)
		}
		rows = append(rows, page.Rows...)
		if after = page.Next; after == "" {
			break
		}
	}
	return rows
}

func (r reader) page(list queue.ListRequest) (queue.ListPage, error) {
	if r.tx != nil {
		return r.c.ListTx(r.t.Context(), r.tx, list)
	}
	operator, err := r.c.Operator()
	if err != nil {
		return queue.ListPage{}, err
	}
	return operator.List(r.t.Context(), list)
}

func (r reader) get(id uuid.UUID) (row *queue.Row) {
	r.t.Helper()
	var err error
	if r.tx != nil {
		row, err = r.c.GetTx(r.t.Context(), r.tx, id)
	} else {
		row, err = r.c.Get(r.t.Context(), id)
	}
	if err != nil {
		r.t.Fatalf("queuetest: reading task %s: %v", id, err)
	}
	return row
}

// besides says what else was enqueued, for after n rows of a task.
func (r reader) besides(task string, n int) string {
	r.t.Helper()
	counts := make(map[string]int)
	for _, row := range r.list(queue.Selection{}, newest) {
		if row.Task != task {
			counts[row.Task]++
		}
	}
	switch {
	case len(counts) > 0:
		return "\n  other tasks: " + counted(counts)
	case n == 0:
		return "\n  nothing was enqueued"
	}
	return ""
}
