package system

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// newUUID is an SQL expression for an ID that begins with the time, as those of
// version 7 do, which makes inserting them append to the index.
const newUUID = `(lpad(to_hex((date_part('epoch', clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || substr(gen_random_uuid()::text, 16))::uuid`

// portions divides n into a base of rows that are made one by one, and how many
// times it is there in the end. n is a multiple of 1,000, or less than that.
func portions(n int) (base, copies int) {
	const most = 1000
	base = min(n, most)
	return base, max(1, n/most)
}

// multiply inserts the rows of a table again until they are there so many times,
// which the database does much faster alone. Values of columns are the rows' own
// but for those that expressions give (s is the row that is copied); a column
// whose expression is empty gets its default.
func multiply(ctx context.Context, url, table string, copies int, expressions map[string]string) error {
	columns, err := list(ctx, url, `SELECT column_name FROM information_schema.columns
		WHERE table_name = '`+table+`' AND is_generated = 'NEVER' ORDER BY ordinal_position`)
	if err != nil {
		return err
	}
	var names, values []string
	for _, name := range columns {
		expression, given := expressions[name]
		switch {
		case !given:
			expression = "s." + name
		case expression == "":
			continue
		}
		names, values = append(names, name), append(values, expression)
	}
	again, err := dropIndexes(ctx, url, table, copies)
	if err != nil {
		return err
	}
	// The source is a table of its own, so that no lane sees what another stores.
	const source = "bench_base"
	if err := exec(ctx, url, `CREATE TABLE `+source+` AS SELECT * FROM `+table); err != nil {
		return err
	}
	const lanes = 2
	group, grouped := errgroup.WithContext(ctx)
	for lane := range lanes {
		times := (copies - 1 + lane) / lanes // these add up
		group.Go(func() error {
			return exec(grouped, url, fmt.Sprintf(`INSERT INTO %s (%s) SELECT %s FROM generate_series(1, %d), %s AS s`,
				table, strings.Join(names, ", "), strings.Join(values, ", "), times, source))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return exec(ctx, url, strings.Join(append(again, `DROP TABLE `+source), "; "))
}

// dropIndexes drops the indexes that are no constraints, if there is much to
// insert: making them anew from all rows is then several times faster. It
// returns the statements for that.
func dropIndexes(ctx context.Context, url, table string, copies int) (again []string, err error) {
	const many = 200
	if copies < many {
		return nil, nil
	}
	const indexes = ` FROM pg_index WHERE indrelid = '%s'::regclass AND indexrelid NOT IN (SELECT conindid FROM pg_constraint)`
	again, err = list(ctx, url, fmt.Sprintf(`SELECT pg_get_indexdef(indexrelid)`+indexes, table))
	if err != nil || len(again) == 0 {
		return nil, err
	}
	names, err := list(ctx, url, fmt.Sprintf(`SELECT indexrelid::regclass::text`+indexes, table))
	if err != nil {
		return nil, err
	}
	return append([]string{`SET maintenance_work_mem = '512MB'`}, again...), exec(ctx, url, `DROP INDEX `+strings.Join(names, ", "))
}
