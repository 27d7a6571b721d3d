package sqlstore

import (
	"context"
	"database/sql"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// contents appends the condition of the rows that may have the contents that are searched
// for: ListRequest.Matches decides. Of encrypted rows that is not known here.
func (s *statement) contents(selection queue.Selection) {
	if !selection.ByContents() {
		return
	}
	s.add(` AND (key_id IS NOT NULL OR (1 = 1`)
	for _, arg := range selection.Args {
		for _, clue := range storekit.Clues(arg) {
			s.add(` AND (instr(args, ?) > 0 OR instr(args, ?) > 0)`, clue, storekit.Escape)
		}
	}
	if clue := storekit.Clue(selection.Text, true); clue != "" {
		s.add(` AND (instr(lower(args), ?) > 0 OR instr(args, ?) > 0`, clue, storekit.Escape)
		s.add(` OR instr(lower(return_value), ?) > 0 OR instr(return_value, ?) > 0`, clue, storekit.Escape)
		s.add(` OR instr(lower(errors), ?) > 0 OR instr(lower(note), ?) > 0)`, clue, clue)
	}
	s.add(`))`)
}

// matching is list of the rows that r matches, up to one more than a page has.
func matching(ctx context.Context, q querier, r queue.ListRequest, query string, args ...any) (found []*queue.Row, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for len(found) <= r.Limit && rows.Next() {
		row, err := scanRow(rows.Scan)
		if err != nil {
			return nil, err
		}
		if r.Matches(row) {
			found = append(found, storekit.Light(row))
		}
	}
	return found, rows.Err()
}

// addValues adds to the rows of a page the values that r requests. Index: the primary key.
func addValues(ctx context.Context, q querier, r queue.ListRequest, page *queue.ListPage) error {
	page.Beginnings = make(map[uuid.UUID]string)
	return inChunks(page.Rows, func(some []*queue.Row) error {
		var s statement
		for _, column := range []string{"args", "return_value", "errors"} {
			s.add(`, CASE WHEN substr(`+column+`, ?, 1) = '' THEN `+column+` END`, r.Values+1)
		}
		s.add(`, CASE WHEN substr(args, ?, 1) <> '' AND key_id IS NULL THEN substr(args, 1, ?) END`, r.Values+1, queue.ArgsBeginning)
		s.add(` FROM claimcheck_tasks WHERE id IN (` + marks(len(some)) + `)`)
		rows := make(map[uuid.UUID]*queue.Row, len(some))
		for _, row := range some {
			rows[row.ID], s.args = row, append(s.args, row.ID)
		}
		return each(ctx, q, func(scan func(...any) error) error {
			var id uuid.UUID
			var args, value, history, beginning sql.NullString
			err := scan(&id, &args, &value, &history, &beginning)
			row := rows[id]
			if err != nil || row == nil {
				return err
			}
			row.Args = document(row, "args", args.String)
			if value.Valid {
				row.ReturnValue = document(row, "return_value", value.String)
			}
			if history.Valid {
				row.DecodeErrors([]byte(history.String))
			}
			if beginning.Valid {
				page.Beginnings[id] = beginning.String
			}
			return nil
		}, `SELECT id`+s.text, s.args...)
	})
}
