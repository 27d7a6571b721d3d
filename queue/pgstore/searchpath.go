package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// askSettings reads what decides whether a database is used at all. It refuses a
// search_path without a schema that exists and that the user may use: PostgreSQL
// would neither find the tables nor create them.
func (s *Store) askSettings(ctx context.Context, conn *pgx.Conn, synchronousCommit *string) error {
	var schema *string
	var path, user string
	err := conn.QueryRow(ctx, "SELECT current_setting('synchronous_commit'), current_schema(), current_setting('search_path'), current_user").
		Scan(synchronousCommit, &schema, &path, &user)
	if err != nil || schema != nil {
		return err
	}
	quoted := pgx.Identifier{user}.Sanitize()
	return fmt.Errorf("open %s: the search_path (%s) has no schema that exists and that this user may use: create the schema (CREATE SCHEMA … AUTHORIZATION %s), or GRANT USAGE, CREATE ON SCHEMA … TO %s, or correct search_path (in the URL's parameters, or ALTER ROLE %s SET search_path = …)",
		s.where(), path, quoted, quoted, quoted)
}
