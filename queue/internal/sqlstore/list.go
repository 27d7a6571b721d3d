package sqlstore

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// lightColumns are columns without what may be long.
var lightColumns = strings.NewReplacer(" errors,", " NULL AS errors,").Replace(historyColumns)

// view is a queue.View in SQL: the condition of its rows, its index, its order in
// both directions, and the conditions of the rows beyond a cursor. The index has
// the order, from its beginning or from its end.
type view struct {
	rows, index    string
	order, reverse string
	after, before  string // :id, :at and :priority are the cursor's
	key            string // the columns of at and priority
}

func (d *Dialect) view(name queue.View) view {
	switch name {
	case queue.ViewPending:
		return view{d.free, "claimcheck_tasks_claim", d.freeOrder, d.freeReverse, d.freeAfter, d.freeBefore, d.freeKey}
	case queue.ViewDelayed:
		return byTime(d.held, "claimcheck_tasks_held", d.heldUntil, "")
	case queue.ViewRunning:
		return byTime(`status = 'RUNNING' AND lease_expires_at IS NOT NULL`, "claimcheck_tasks_lease", `lease_expires_at`, "")
	case queue.ViewSuccessful, queue.ViewFailed, queue.ViewCancelled:
		return byTime(`status = '`+strings.ToUpper(string(name))+`' AND finished_at IS NOT NULL`, "claimcheck_tasks_finished", `finished_at`, " DESC")
	default:
		return view{`1 = 1`, "", `id DESC`, `id`, `id < :id`, `id > :id`, `enqueued_at, 0`}
	}
}

// byTime is a view in the order of a time, up or down.
func byTime(rows, index, key, direction string) view {
	v := view{
		rows: rows, index: index, key: key + `, 0`,
		order: key + `, id`, reverse: key + ` DESC, id DESC`,
		after:  key + ` >= :at AND (` + key + ` > :at OR id > :id)`,
		before: key + ` <= :at AND (` + key + ` < :at OR id < :id)`,
	}
	if direction != "" {
		v.order, v.reverse, v.after, v.before = v.reverse, v.order, v.before, v.after
	}
	return v
}

// statement is SQL under construction, with its parameters.
type statement struct {
	text string
	args []any
}

func (s *statement) add(text string, args ...any) {
	s.text += text
	s.args = append(s.args, args...)
}

// named is add for text with the parameters of a cursor.
func (s *statement) named(text string, c queue.Cursor) {
	for {
		i := strings.IndexByte(text, ':')
		if i < 0 {
			s.text += text
			return
		}
		s.text += text[:i] + `?`
		switch text = text[i+1:]; {
		case strings.HasPrefix(text, "id"):
			s.args, text = append(s.args, c.ID), text[2:]
		case strings.HasPrefix(text, "at"):
			s.args, text = append(s.args, micros(c.At)), text[2:]
		default: // priority
			s.args, text = append(s.args, c.Priority), text[len("priority"):]
		}
	}
}

// filter appends the conditions of a selection except its view and those of chosen, and
// reports whether there are any.
func (s *statement) filter(d *Dialect, selection queue.Selection, now time.Time) bool {
	before := len(s.text)
	filter, args := within(queue.Filter{Queue: selection.Queue, Backend: selection.Backend})
	s.add(filter, args...)
	if strings.Contains(selection.Task, "*") {
		s.add(` AND task_path `+d.likeTask, d.taskPattern(selection.Task))
	} else if selection.Task != "" {
		s.add(` AND task_path = ?`, selection.Task)
	}
	if selection.Priority != nil {
		s.add(` AND priority = ?`, *selection.Priority)
	}
	if !selection.Since.IsZero() {
		s.add(` AND enqueued_at >= ?`, micros(selection.Since))
	}
	if !selection.Until.IsZero() {
		s.add(` AND enqueued_at < ?`, micros(selection.Until))
	}
	if selection.Group != "" {
		s.add(` AND error_group = ?`, selection.Group)
	}
	if selection.Error != "" {
		s.add(` AND instr(lower(error_text), lower(?)) > 0`, selection.Error)
	}
	if selection.Stranded {
		s.add(` AND status = 'READY' AND dispatch_due_at <= ?`+andNotGated, micros(now))
	}
	if selection.Parked {
		s.add(` AND status = 'READY' AND hold = ` + strconv.Itoa(storekit.HoldParked))
	}
	if selection.Limited {
		s.add(` AND status = 'READY' AND hold >= ` + strconv.Itoa(storekit.HoldLimited))
	}
	if selection.ExceptLimited {
		s.add(` AND NOT (status = 'READY' AND hold >= ` + strconv.Itoa(storekit.HoldLimited) + `)`)
	}
	if len(selection.ExceptQueues) > 0 {
		s.add(` AND queue_name NOT IN (`+marks(len(selection.ExceptQueues))+`)`, anys(selection.ExceptQueues)...)
	}
	if len(selection.ExceptTasks) > 0 {
		s.add(` AND task_path NOT IN (`+marks(len(selection.ExceptTasks))+`)`, anys(selection.ExceptTasks)...)
	}
	s.contents(selection)
	return len(s.text) > before
}

// chosen appends the conditions on IDs, which the primary key serves whatever the view, and
// reports whether there are any.
func (s *statement) chosen(selection queue.Selection) bool {
	before := len(s.text)
	if len(selection.IDs)+len(selection.IDPrefixes) > 0 {
		s.add(` AND (1 = 0`)
		if len(selection.IDs) > 0 {
			s.add(` OR id IN (`+marks(len(selection.IDs))+`)`, anys(selection.IDs)...)
		}
		for _, prefix := range selection.IDPrefixes {
			first, last := queue.IDRange(prefix)
			s.add(` OR id BETWEEN ? AND ?`, first, last)
		}
		s.add(`)`)
	}
	if selection.MemberOf != uuid.Nil {
		s.add(` AND id IN (SELECT task_id FROM claimcheck_group_members WHERE group_id = ?)`, selection.MemberOf)
	}
	return len(s.text) > before
}

// listQueries are the statements of a list.
type listQueries struct {
	page statement
	// last reads the last row of the window that is searched, if the selection has more
	// conditions than its view.
	last statement
	// Where between is not nil, last comes first, and reads the row after that one too. Up to
	// the window's end the page is then what between returns for this row.
	between func(next queue.Cursor) statement
}

// listQueries returns the statements of a list.
func (d *Dialect) listQueries(r queue.ListRequest, now time.Time) (q listQueries, err error) {
	v := d.view(r.View)
	order, beyond, within := v.order, v.after, v.before
	if r.Reverse {
		order, beyond, within = v.reverse, v.before, v.after
	}
	var from, filter, chosen statement
	from.add(` FROM claimcheck_tasks`)
	if isChosen := chosen.chosen(r.Selection); !isChosen && v.index != "" {
		from.add(d.useIndex(v.index))
	} else if !isChosen {
		from.add(d.byID)
	}
	from.add(` WHERE `+v.rows+chosen.text, chosen.args...)
	if r.After != "" {
		cursor, err := queue.ParseCursor(r.After)
		if err != nil {
			return q, err
		}
		from.named(` AND `+beyond, cursor)
	}
	// plain is a page of rows that nothing is done with before they are listed.
	plain := func() (page statement) {
		page.add(`SELECT `+lightColumns+from.text+filter.text+` ORDER BY `+order+` LIMIT ?`, append(append(slices.Clip(from.args), filter.args...), r.Limit+1)...)
		return page
	}
	if !filter.filter(d, r.Selection, now) {
		q.page = plain()
		return q, nil
	}
	last := func(rows int) {
		q.last.add(`SELECT id, `+v.key+from.text+` ORDER BY `+order+` LIMIT ? OFFSET ?`, append(slices.Clip(from.args), rows, r.Window-1)...)
	}
	if d.windowFirst && !r.ByContents() && chosen.text == "" {
		last(2)
		q.page = plain()
		q.between = func(next queue.Cursor) statement {
			from.named(` AND `+within, next)
			return plain()
		}
		return q, nil
	}
	listed := lightColumns
	if r.ByContents() {
		listed = columns
	}
	q.page.add(`SELECT `+columns+` FROM (SELECT `+listed+d.keyColumns+from.text+` ORDER BY `+order+` LIMIT ?) AS listed WHERE 1 = 1`, append(slices.Clip(from.args), r.Window)...)
	q.page.add(filter.text+` ORDER BY `+order, filter.args...)
	if !r.ByContents() { // else Go decides which rows are listed
		q.page.add(` LIMIT ?`, r.Limit+1)
	}
	last(1)
	return q, nil
}

// ends reads the last row of the window, and the row after it if q.between requires it.
func (l listQueries) ends(ctx context.Context, q querier) (ends []queue.Cursor, err error) {
	rows, err := q.QueryContext(ctx, l.last.text, l.last.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var end queue.Cursor
		if err := rows.Scan(&end.ID, at(&end.At), &end.Priority); err != nil {
			return nil, err
		}
		ends = append(ends, end)
	}
	return ends, rows.Err()
}

// List returns a page of rows.
func (s *Store) List(ctx context.Context, r queue.ListRequest) (page queue.ListPage, err error) {
	err = s.read(ctx, "list tasks", func(conn querier) error {
		page, err = listRows(ctx, conn, r)
		return err
	})
	return page, err
}

// ListTx is List as a part of tx.
func (s *Store) ListTx(ctx context.Context, tx queue.Tx, r queue.ListRequest) (page queue.ListPage, err error) {
	err = s.in(ctx, "list tasks", tx, func(ctx context.Context, q querier) error {
		q.locks = false
		page, err = listRows(ctx, q, r)
		return err
	})
	return page, err
}

func listRows(ctx context.Context, q querier, r queue.ListRequest) (page queue.ListPage, err error) {
	if err := r.Check(); err != nil {
		return page, err
	}
	now, err := q.now(ctx)
	if err != nil {
		return page, err
	}
	queries, err := q.store.dialect.listQueries(r, now)
	if err != nil {
		return page, err
	}
	query := queries.page
	windowEnd := func() (end queue.Cursor, found bool, err error) {
		ends, err := queries.ends(ctx, q)
		if err != nil || len(ends) == 0 {
			return end, false, err
		}
		return ends[0], true, nil
	}
	switch {
	case queries.last.text == "":
		windowEnd = nil
	case queries.between != nil:
		ends, err := queries.ends(ctx, q)
		if err != nil {
			return page, err
		}
		windowEnd = nil
		if len(ends) == 2 {
			query = queries.between(ends[1])
			windowEnd = func() (queue.Cursor, bool, error) { return ends[0], true, nil }
		}
	}
	read := list
	if r.ByContents() {
		read = func(ctx context.Context, q querier, query string, args ...any) ([]*queue.Row, error) {
			return matching(ctx, q, r, query, args...)
		}
	}
	rows, err := read(ctx, q, query.text, query.args...)
	if err != nil {
		return page, err
	}
	if page, err = storekit.Page(r, rows, windowEnd); err != nil || r.Values == 0 || len(page.Rows) == 0 {
		return page, err
	}
	return page, addValues(ctx, q, r, &page)
}
