package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// view is a queue.View in SQL: the condition of its rows, its order in both directions,
// and the conditions of the rows beyond a cursor. An index has each order, from its
// beginning or from its end.
type view struct {
	rows           string
	order, reverse string
	after, before  string // :id, :at and :priority are the cursor's
	key            string // the columns of at and priority
}

var views = map[queue.View]view{
	queue.ViewAll: {`true`, `id DESC`, `id`, `id < :id`, `id > :id`, `enqueued_at, 0`},
	queue.ViewPending: {`hold = 0`, `priority DESC, enqueued_at, id`, `priority, enqueued_at DESC, id DESC`,
		`priority <= :priority AND (priority < :priority OR (enqueued_at, id) > (:at, :id))`,
		`priority >= :priority AND (priority > :priority OR (enqueued_at, id) < (:at, :id))`, `enqueued_at, priority`},
	queue.ViewDelayed: {`hold = 1`, `coalesce(retry_at, run_after), id`, `coalesce(retry_at, run_after) DESC, id DESC`,
		`(coalesce(retry_at, run_after), id) > (:at, :id)`, `(coalesce(retry_at, run_after), id) < (:at, :id)`, `coalesce(retry_at, run_after), 0`},
	queue.ViewRunning: {`status = 'RUNNING'`, `lease_expires_at, id`, `lease_expires_at DESC, id DESC`,
		`(lease_expires_at, id) > (:at, :id)`, `(lease_expires_at, id) < (:at, :id)`, `lease_expires_at, 0`},
	queue.ViewSuccessful: finishedView(queue.StatusSuccessful),
	queue.ViewFailed:     finishedView(queue.StatusFailed),
	queue.ViewCancelled:  finishedView(queue.StatusCancelled),
}

func finishedView(status queue.Status) view {
	return view{`status = '` + string(status) + `' AND finished_at IS NOT NULL`, `finished_at DESC, id DESC`, `finished_at, id`,
		`(finished_at, id) < (:at, :id)`, `(finished_at, id) > (:at, :id)`, `finished_at, 0`}
}

// statement is SQL under construction, with its parameters.
type statement struct {
	text string
	args []any
}

// add appends text, in which each %s is replaced by the number of the next parameter.
func (s *statement) add(text string, args ...any) {
	for _, arg := range args {
		s.args = append(s.args, arg)
		text = strings.Replace(text, "%s", fmt.Sprintf("$%d", len(s.args)), 1)
	}
	s.text += text
}

// named is add for text with the parameters of a cursor.
func (s *statement) named(text string, c queue.Cursor) {
	for _, p := range []struct {
		name, cast string
		value      any
	}{{":id", "uuid", uuidValue(c.ID)}, {":at", "timestamptz", timeValue(c.At)}, {":priority", "int8", c.Priority}} {
		if strings.Contains(text, p.name) {
			s.args = append(s.args, p.value)
			text = strings.ReplaceAll(text, p.name, fmt.Sprintf("$%d::%s", len(s.args), p.cast))
		}
	}
	s.text += text
}

// filter appends the conditions of a selection except its view and those of chosen, and
// reports whether there are any.
func (s *statement) filter(selection queue.Selection) bool {
	before := len(s.text)
	if selection.Queue != "" {
		s.add(` AND queue_name = %s::text`, selection.Queue)
	}
	if selection.Backend != "" {
		s.add(` AND backend_name = %s::text`, selection.Backend)
	}
	if strings.Contains(selection.Task, "*") {
		s.add(` AND task_path LIKE %s::text`, storekit.TaskPattern(selection.Task, `%`, `%_\`, `\`))
	} else if selection.Task != "" {
		s.add(` AND task_path = %s::text`, selection.Task)
	}
	if selection.Priority != nil {
		s.add(` AND priority = %s::int8`, *selection.Priority)
	}
	if !selection.Since.IsZero() {
		s.add(` AND enqueued_at >= %s::timestamptz`, timeValue(selection.Since))
	}
	if !selection.Until.IsZero() {
		s.add(` AND enqueued_at < %s::timestamptz`, timeValue(selection.Until))
	}
	if selection.Group != "" {
		s.add(` AND error_group = %s::text`, selection.Group)
	}
	if selection.Error != "" {
		s.add(` AND position(lower(%s::text) IN lower(error_text)) > 0`, selection.Error)
	}
	if selection.Stranded {
		s.add(` AND status = 'READY' AND dispatch_due_at <= now() AND ` + notPaused)
	}
	if selection.Parked {
		s.add(` AND hold = 2`)
	}
	if selection.Limited {
		s.add(` AND hold >= 3`)
	}
	if selection.ExceptLimited {
		s.add(` AND (hold IS NULL OR hold < 3)`)
	}
	if len(selection.ExceptQueues) > 0 {
		s.add(` AND queue_name <> ALL(%s::text[])`, selection.ExceptQueues)
	}
	if len(selection.ExceptTasks) > 0 {
		s.add(` AND task_path <> ALL(%s::text[])`, selection.ExceptTasks)
	}
	s.contents(selection)
	return len(s.text) > before
}

// window appends the rows of a list after its cursor, in its order.
func (s *statement) window(r queue.ListRequest) error {
	s.add(` FROM claimcheck_tasks WHERE ` + views[r.View].rows)
	s.chosen(r.Selection)
	if err := s.after(r); err != nil {
		return err
	}
	s.add(` ORDER BY ` + order(r))
	return nil
}

// after appends the condition of the rows after the cursor of a list.
func (s *statement) after(r queue.ListRequest) error {
	if r.After == "" {
		return nil
	}
	cursor, err := queue.ParseCursor(r.After)
	if err != nil {
		return err
	}
	beyond := views[r.View].after
	if r.Reverse {
		beyond = views[r.View].before
	}
	s.named(` AND `+beyond, cursor)
	return nil
}

func order(r queue.ListRequest) string {
	if r.Reverse {
		return views[r.View].reverse
	}
	return views[r.View].order
}

// chosen appends the conditions on IDs, which indexes serve whatever the view.
func (s *statement) chosen(selection queue.Selection) {
	if len(selection.IDs)+len(selection.IDPrefixes) > 0 {
		s.add(` AND (id = ANY(%s::uuid[])`, uuidValues(selection.IDs))
		for _, prefix := range selection.IDPrefixes {
			first, last := queue.IDRange(prefix)
			s.add(` OR id BETWEEN %s::uuid AND %s::uuid`, pgtype.UUID{Bytes: first, Valid: true}, uuidValue(last))
		}
		s.add(`)`)
	}
	if selection.MemberOf != uuid.Nil {
		s.add(` AND id IN (SELECT task_id FROM claimcheck_group_members WHERE group_id = %s::uuid)`, uuidValue(selection.MemberOf))
	}
}

// indexedQuery returns the statement for a page of the rows with these IDs, which are all
// that may have the arguments that r searches for.
func indexedQuery(r queue.ListRequest, ids []uuid.UUID) (page statement, err error) {
	page.add(`SELECT ` + columns + ` FROM claimcheck_tasks WHERE ` + views[r.View].rows)
	page.add(` AND id = ANY(%s::uuid[])`, uuidValues(ids))
	page.chosen(r.Selection)
	if err := page.after(r); err != nil {
		return page, err
	}
	page.filter(r.Selection)
	page.add(` ORDER BY ` + order(r))
	return page, nil
}

// listQueries returns the statement for the page and, if the selection has more
// conditions than its view, the one for the last row of the window that is searched.
func listQueries(r queue.ListRequest) (page, last statement, err error) {
	var filter statement
	if !filter.filter(r.Selection) {
		page.add(`SELECT ` + lightColumns)
		err = page.window(r)
		page.add(` LIMIT %s::int8`, r.Limit+1)
		return page, last, err
	}
	listed := lightColumns
	if r.ByContents() {
		listed = columns
	}
	page.add(`SELECT ` + listed + ` FROM (SELECT *`)
	if err = page.window(r); err != nil {
		return page, last, err
	}
	// Not parameters: generic plans would be for a tenth of all rows.
	page.add(fmt.Sprintf(` LIMIT %d) AS rows WHERE true`, r.Window))
	page.filter(r.Selection)
	page.add(` ORDER BY ` + order(r))
	if !r.ByContents() { // else Go decides which rows are listed
		page.add(` LIMIT %s::int8`, r.Limit+1)
	}

	last.add(`SELECT id, ` + views[r.View].key)
	err = last.window(r)
	last.add(fmt.Sprintf(` OFFSET %d LIMIT 1`, r.Window-1))
	return page, last, err
}

// List returns a page of rows. Indexes: claimcheck_tasks_claim, _held, _lease,
// _finished or the primary key, each in its order.
func (s *Store) List(ctx context.Context, r queue.ListRequest) (page queue.ListPage, err error) {
	err = s.on(ctx, "list tasks", func(conn *pgx.Conn) error {
		page, err = listRows(ctx, conn, r)
		return err
	})
	return page, err
}

// ListTx is List as a part of tx.
func (s *Store) ListTx(ctx context.Context, tx queue.Tx, r queue.ListRequest) (page queue.ListPage, err error) {
	err = s.in(ctx, "list tasks", tx, func(tx pgx.Tx) error {
		page, err = listRows(ctx, tx, r)
		return err
	})
	return page, err
}

func listRows(ctx context.Context, q querier, r queue.ListRequest) (page queue.ListPage, err error) {
	if err := r.Check(); err != nil {
		return page, err
	}
	query, last, err := listQueries(r)
	if err != nil {
		return page, err
	}
	if ids, ok, err := indexed(ctx, q, r); err != nil {
		return page, err
	} else if ok {
		if query, err = indexedQuery(r, ids); err != nil {
			return page, err
		}
		last = statement{}
	}
	read := many
	if r.ByContents() {
		read = func(result pgx.Rows, err error) ([]*queue.Row, error) { return matching(r, result, err) }
	}
	rows, err := read(q.Query(ctx, query.text, query.args...))
	if err != nil {
		return page, err
	}
	windowEnd := func() (end queue.Cursor, found bool, err error) {
		err = q.QueryRow(ctx, last.text, last.args...).Scan((*id)(&end.ID), (*moment)(&end.At), &end.Priority)
		if errors.Is(err, pgx.ErrNoRows) {
			return end, false, nil
		}
		return end, err == nil, err
	}
	if last.text == "" {
		windowEnd = nil
	}
	if page, err = storekit.Page(r, rows, windowEnd); err != nil || r.Values == 0 || len(page.Rows) == 0 {
		return page, err
	}
	return page, addValues(ctx, q, r, &page)
}
