package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/queue/sqlstore"
)

type migrateCmd struct {
	Action string `arg:"" optional:"" enum:"up,status,sql" default:"up" help:"up (the default), status, or sql: print the SQL, for people who run their own migrations."`
}

// Run needs nothing but the database, and sql not even that.
func (c *migrateCmd) Run(ctx context.Context, p *program) error {
	databaseURL, err := p.config.DatabaseURL()
	if err != nil {
		return err
	}
	if c.Action == "sql" {
		sql := pgstore.MigrationSQL
		switch {
		case strings.HasPrefix(databaseURL, "sqlite:"):
			sql = sqlstore.MigrationSQL
		case strings.HasPrefix(databaseURL, "mysql:"):
			sql = sqlstore.MySQLMigrationSQL
		}
		fmt.Fprint(p.stdout, sql())
		return nil
	}
	if err := p.checkKept(); err != nil {
		return err
	}
	db, err := p.openDatabase(ctx, opening{existing: c.Action == "status"})
	if err != nil {
		return err
	}
	defer func() { _ = closeDatabase(db, closeTime) }()
	if c.Action == "status" {
		return c.status(ctx, p, db)
	}
	applied, err := db.Migrate(ctx)
	for _, m := range applied {
		fmt.Fprintf(p.stdout, "applied %s (%s)\n", m.Name, m.Took.Round(100*time.Microsecond))
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(p.stdout, "up to date")
	}
	return err
}

func (c *migrateCmd) status(ctx context.Context, p *program, db database) error {
	migrations, err := db.MigrationStatus(ctx)
	if err == nil {
		p.nameDatabase(false)
	}
	for _, m := range migrations {
		state := "pending"
		if !m.AppliedAt.IsZero() {
			state = "applied " + when(m.AppliedAt)
		}
		fmt.Fprintf(p.stdout, "%s  %s\n", m.Name, state)
	}
	return err
}
