package system

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// newUUID is an SQL expression for an ID that begins with the time, as those of
// version 7 do, which makes inserting them append to the index.
const newUUID = `(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') ||
	'7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid`

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
	// The source is a table of its own, so that no lane sees what another stores.
	source := "bench_base"
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
	return exec(ctx, url, `DROP TABLE `+source)
}
