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

// filter appends the conditions of a selection except its view and its IDs, and
// reports whether there are any.
func (s *statement) filter(selection queue.Selection) bool {
	before := len(s.text)
	if selection.Queue != "" {
		s.add(` AND queue_name = %s::text`, selection.Queue)
	}
	if selection.Backend != "" {
		s.add(` AND backend_name = %s::text`, selection.Backend)
	}
	if prefix, ok := strings.CutSuffix(selection.Task, "*"); ok {
		s.add(` AND starts_with(task_path, %s::text)`, prefix)
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
	return len(s.text) > before
}

// window appends the rows of a list after its cursor, in its order.
func (s *statement) window(r queue.ListRequest) error {
	v := views[r.View]
	beyond := v.after
	if r.Reverse {
		beyond = v.before
	}
	s.add(` FROM claimcheck_tasks WHERE ` + v.rows)
	s.ids(r.IDs)
	if r.After != "" {
		cursor, err := queue.ParseCursor(r.After)
		if err != nil {
			return err
		}
		s.named(` AND `+beyond, cursor)
	}
	s.add(` ORDER BY ` + order(r))
	return nil
}

func order(r queue.ListRequest) string {
	if r.Reverse {
		return views[r.View].reverse
	}
	return views[r.View].order
}

// ids appends the condition that a row has one of these IDs, if there are any.
func (s *statement) ids(list []uuid.UUID) {
	if len(list) == 0 {
		return
	}
	values := make([]pgtype.UUID, len(list))
	for i, id := range list {
		values[i] = uuidValue(id)
	}
	s.add(` AND id = ANY(%s::uuid[])`, values)
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
	page.add(`SELECT ` + lightColumns + ` FROM (SELECT *`)
	if err = page.window(r); err != nil {
		return page, last, err
	}
	page.add(fmt.Sprintf(` LIMIT %d) AS rows WHERE true`, queue.ListWindow))
	page.filter(r.Selection)
	page.add(` ORDER BY `+order(r)+` LIMIT %s::int8`, r.Limit+1)

	last.add(`SELECT id, ` + views[r.View].key)
	err = last.window(r)
	last.add(fmt.Sprintf(` OFFSET %d LIMIT 1`, queue.ListWindow-1))
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
	rows, err := many(q.Query(ctx, query.text, query.args...))
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
	return storekit.Page(r, rows, windowEnd)
}
