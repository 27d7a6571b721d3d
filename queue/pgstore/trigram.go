package pgstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/internal/storekit"
)

// An operator may add a trigram index on the text of the arguments (docs/operations.md),
// which no migration does, because every insert pays for it. A list by arguments then reads
// the rows that may match from the whole table instead of a window, if there are not more of
// them than a window has.

// trigramQuery reports whether the index exists.
const trigramQuery = `SELECT EXISTS (SELECT FROM pg_index i JOIN pg_opclass o ON o.oid = i.indclass[0]
	WHERE i.indrelid = 'claimcheck_tasks'::regclass AND i.indisvalid AND i.indpred IS NULL AND i.indnatts = 1
	AND o.opcname IN ('gin_trgm_ops', 'gist_trgm_ops') AND pg_get_indexdef(i.indexrelid, 1, false) = '((args)::text)')`

// leastClue is how many characters a clue must have to be of use to the index.
const leastClue = 3

// indexed returns the IDs of all rows that may have the arguments which r searches for. ok is
// false if there is no such index, if the index does not help with them, or if too many rows
// may have them; in the transaction of a caller, whose settings are not changed, always. Index: the one on trigrams, and claimcheck_tasks_key for encrypted rows.
func indexed(ctx context.Context, q querier, r queue.ListRequest) (ids []uuid.UUID, ok bool, err error) {
	patterns := trigramPatterns(r.Args)
	conn, own := q.(*pgx.Conn)
	if len(patterns) == 0 || !own {
		return nil, false, nil
	}
	if err := conn.QueryRow(ctx, trigramQuery).Scan(&ok); err != nil || !ok {
		return nil, false, err
	}
	query := `SELECT id FROM claimcheck_tasks WHERE (key_id IS NOT NULL OR (true`
	for _, pattern := range patterns {
		query += ` AND args::text LIKE '` + pattern + `' ESCAPE '!'`
	}
	query += `))`
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		// Such an index serves bitmap scans only. See session.
		if _, err := tx.Exec(ctx, `SET LOCAL enable_bitmapscan = on`); err != nil {
			return err
		}
		if few, err := estimatedFew(ctx, tx, query); err != nil || !few {
			ok = false
			return err
		}
		// Prepared, it would get a generic plan, which does not know how few rows the patterns match.
		result, err := tx.Query(ctx, query+fmt.Sprintf(` LIMIT %d`, queue.ListWindow+1), pgx.QueryExecModeExec)
		if err != nil {
			return err
		}
		var found id
		_, err = pgx.ForEachRow(result, []any{&found}, func() error {
			ids = append(ids, uuid.UUID(found))
			return nil
		})
		return err
	})
	return ids, ok && len(ids) <= queue.ListWindow, err
}

// estimatedFew reports whether the planner expects a query to return no more rows than a
// window has. The index reads all of them before the first one is known.
func estimatedFew(ctx context.Context, tx pgx.Tx, query string) (bool, error) {
	var plan []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	var text []byte
	if err := tx.QueryRow(ctx, `EXPLAIN (FORMAT JSON) `+query, pgx.QueryExecModeExec).Scan(&text); err != nil {
		return false, err
	}
	err := json.Unmarshal(text, &plan)
	return err == nil && len(plan) == 1 && plan[0].Plan.Rows <= queue.ListWindow, err
}

// trigramPatterns returns patterns that the arguments match in which filters find something,
// or none if the index does not help. They have no quotes and no backslashes, as no clue has.
func trigramPatterns(filters []queue.ArgFilter) (patterns []string) {
	helps := false
	for _, filter := range filters {
		for _, clue := range storekit.Clues(filter) {
			helps = helps || len(clue) >= leastClue
			escaped := strings.NewReplacer(`!`, `!!`, `%`, `!%`, `_`, `!_`).Replace(clue)
			patterns = append(patterns, `%`+strings.ReplaceAll(escaped, `'`, `''`)+`%`)
		}
	}
	if !helps {
		return nil
	}
	return patterns
}
