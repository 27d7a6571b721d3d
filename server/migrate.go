package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fatih/color"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

type migrateCmd struct {
	Action string `arg:"" optional:"" enum:"up,status,sql" default:"up" help:"up (the default), status, or sql: print the SQL, for people who run their own migrations."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run needs only the database; sql needs only its URL.
func (c *migrateCmd) Run(ctx context.Context, p *program) error {
	databaseURL, err := p.config.DatabaseURL()
	if err != nil {
		return err
	}
	if c.Action == "sql" {
		sql, err := stores.MigrationSQL(databaseURL)
		if err != nil {
			return err
		}
		return c.printSQL(p, sql)
	}
	if err := p.checkKept(); err != nil {
		return err
	}
	db, err := p.openDatabase(ctx, opening{existing: c.Action == "status"})
	if err != nil {
		return err
	}
	defer func() { _ = stores.Close(db, stores.CloseTime) }()
	migrator, err := stores.As[stores.Migrator](db)
	if err != nil {
		return err
	}
	if c.Action == "status" {
		return c.status(ctx, p, migrator)
	}
	applied, err := migrator.Migrate(ctx)
	if c.JSON {
		return errors.Join(p.printJSON(map[string]any{"applied": migrationsJSON(applied)}), err)
	}
	for _, m := range applied {
		fmt.Fprintf(p.stdout, "applied %s (%s)\n", m.Name, m.Took.Round(100*time.Microsecond))
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(p.stdout, "up to date")
	}
	return err
}

func (c *migrateCmd) printSQL(p *program, sql string) error {
	if c.JSON {
		return p.printJSON(map[string]string{"sql": sql})
	}
	_, err := fmt.Fprint(p.stdout, sql)
	return err
}

// migrationJSON is a migration as --json prints it.
type migrationJSON struct {
	Name      string    `json:"name"`
	Applied   bool      `json:"applied"`
	AppliedAt time.Time `json:"applied_at,omitzero"`
	TookMS    int64     `json:"took_ms,omitempty"` // of a migration that this call applied
}

func migrationsJSON(migrations []queue.Migration) []migrationJSON {
	list := make([]migrationJSON, len(migrations))
	for i, m := range migrations {
		list[i] = migrationJSON{m.Name, m.Took > 0 || !m.AppliedAt.IsZero(), m.AppliedAt, m.Took.Milliseconds()}
	}
	return list
}

func (c *migrateCmd) status(ctx context.Context, p *program, db stores.Migrator) error {
	migrations, err := db.MigrationStatus(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(map[string]any{"migrations": migrationsJSON(migrations)})
	}
	p.nameDatabase(false)
	t := p.newTable()
	for _, m := range migrations {
		state := coloured("pending", color.FgYellow)
		if !m.AppliedAt.IsZero() {
			state = coloured("applied "+when(m.AppliedAt), color.FgGreen)
		}
		t.row(plain(m.Name), state)
	}
	return t.print(p.stdout)
}
