package pgstore

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// contents appends the condition of the rows that may have the contents that are searched
// for: ListRequest.Matches decides. Of encrypted rows that is not known here.
func (s *statement) contents(selection queue.Selection) {
	if !selection.ByContents() {
		return
	}
	s.add(` AND (key_id IS NOT NULL OR (true`)
	for _, arg := range selection.Args {
		for _, clue := range storekit.Clues(arg) {
			s.add(` AND (position(%s::text IN args::text) > 0 OR position(%s::text IN args::text) > 0)`, clue, storekit.Escape)
		}
	}
	if clue := storekit.Clue(selection.Text, true); clue != "" {
		s.add(` AND (position(%s::text IN lower(args::text COLLATE "C")) > 0 OR position(%s::text IN args::text) > 0`, clue, storekit.Escape)
		s.add(` OR position(%s::text IN lower(return_value::text COLLATE "C")) > 0 OR position(%s::text IN return_value::text) > 0`, clue, storekit.Escape)
		s.add(` OR position(%s::text IN lower(errors::text COLLATE "C")) > 0 OR position(%s::text IN lower(note COLLATE "C")) > 0)`, clue, clue)
	}
	s.add(`))`)
}

// errEnough ends the reading of rows.
var errEnough = errors.New("enough rows were read")

// matching is many of the rows that r matches, up to one more than a page has.
func matching(r queue.ListRequest, result pgx.Rows, err error) (rows []*queue.Row, _ error) {
	if err != nil {
		return nil, err
	}
	var s scanned
	_, err = pgx.ForEachRow(result, s.fields(), func() error {
		if row := s.row(); r.Matches(row) {
			rows = append(rows, storekit.Light(row))
		}
		if len(rows) > r.Limit {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return rows, nil
}

// valuesQuery reads values of listed rows that have at most $2 characters, and the
// beginning of longer arguments. Index: the primary key.
const valuesQuery = `SELECT id, CASE WHEN length(args::text) <= $2::int4 THEN args END,
	CASE WHEN length(args::text) > $2::int4 AND key_id IS NULL THEN left(args::text, $3::int4) END,
	CASE WHEN length(return_value::text) <= $2::int4 THEN return_value END, CASE WHEN length(errors::text) <= $2::int4 THEN errors END
	FROM claimcheck_tasks WHERE id = ANY($1::uuid[])`

// addValues adds to the rows of a page the values that r requests.
func addValues(ctx context.Context, q querier, r queue.ListRequest, page *queue.ListPage) error {
	rows := make(map[uuid.UUID]*queue.Row, len(page.Rows))
	ids := make([]uuid.UUID, len(page.Rows))
	for i, row := range page.Rows {
		rows[row.ID], ids[i] = row, row.ID
	}
	page.Beginnings = make(map[uuid.UUID]string)
	result, err := q.Query(ctx, valuesQuery, uuidValues(ids), r.Values, queue.ArgsBeginning)
	if err != nil {
		return err
	}
	var of id
	var args, value, history []byte
	var beginning pgtype.Text
	_, err = pgx.ForEachRow(result, []any{&of, &args, &beginning, &value, &history}, func() error {
		row := rows[uuid.UUID(of)]
		row.Args, row.ReturnValue = args, value
		row.DecodeErrors(history)
		if beginning.Valid {
			page.Beginnings[row.ID] = beginning.String
		}
		args, value, history = nil, nil, nil // the next row gets memory of its own
		return nil
	})
	return err
}
