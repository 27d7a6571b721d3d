package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// databaseChecks are those of the database. A SQLite file that does not exist yet
// is not created, so that there is nothing to check.
func (d *Diagnosis) databaseChecks() []Check {
	rawURL, _ := d.config.DatabaseURL()
	embedded := stores.Embedded(rawURL)
	if embedded {
		d.file = stores.MissingFile(rawURL)
	}
	server := func(name string, look func(context.Context) Finding) Check {
		check := Check{Name: name, Needs: []string{"database"}, Look: look}
		if embedded {
			check.Skip = "SQLite is part of this process"
		}
		return check
	}
	pooler, packet := server("pooler", d.checkPooler), server("packet size", d.checkPacketSize)
	packet.Needs = append(packet.Needs, "TASKS_MAX_BODY")
	if stores.IsMySQL(rawURL) {
		pooler.Skip = "for PostgreSQL only"
	} else if !embedded {
		packet.Skip = "for MySQL and MariaDB only"
	}
	schema := Check{Name: "schema", Needs: []string{"database", "version"}, Look: d.checkSchema}
	version := Check{Name: "version", Needs: []string{"database"}, Look: d.checkVersion}
	if d.file != "" {
		version.Skip, schema.Needs = "there is no database yet", []string{"database"}
	}
	integrity := Check{Name: "integrity", Needs: []string{"database"}, Look: d.checkIntegrity}
	switch {
	case !embedded:
		integrity.Skip = "the database server checks its own files"
	case d.file != "" || strings.HasSuffix(rawURL, ":memory:"):
		integrity.Skip = "there is no file yet"
	}
	if d.Integrity {
		integrity.Limit = 10 * time.Minute
	}
	return []Check{
		{Name: "database", Look: d.checkDatabase,
			Needs: []string{"DATABASE_URL", "DB_MAX_CONNS", "CLOUD_SQL_INSTANCE", "CLOUD_SQL_IAM_AUTH", "CLOUD_SQL_PRIVATE_IP", "ALLOYDB_INSTANCE", "ALLOYDB_IAM_AUTH", "ALLOYDB_ADDRESS"}},
		version,
		server("durability", d.checkDurability),
		server("connections", d.checkConnections),
		packet,
		pooler,
		schema,
		{Name: "rights", Needs: []string{"database", "schema"}, Look: d.checkRights},
		{Name: "encryption", Needs: []string{"database", "schema", "TASKS_ENCRYPTION_KEYS", "TASKS_ENCRYPTION_KEYS_FILE"}, Look: d.checkEncryption},
		integrity,
		server("database clock", d.checkDatabaseClock),
	}
}

func (d *Diagnosis) checkDatabase(ctx context.Context) Finding {
	rawURL, err := d.config.DatabaseURL()
	if err != nil {
		return Failf("set DATABASE_URL", "%s", err)
	}
	if problem := stores.FileProblem(rawURL); problem != nil {
		return Failf("let this user write there, or let DATABASE_URL name a path where it may", "%s", problem)
	}
	if d.file != "" {
		return Okf("%s does not exist yet: the first command that needs it creates it", d.file)
	}
	open, err := d.Opener(d.config)
	if err != nil {
		return Failf("correct DATABASE_URL", "%s", err)
	}
	if d.db, err = open(ctx); err != nil {
		return notOpened(err)
	}
	if d.facts, err = d.Inspect(ctx, d.db); err != nil {
		return notOpened(err)
	}
	at := stores.Describe(rawURL)
	if d.config.Settings.CloudSQLInstance != "" {
		at += " through the connector to " + d.config.Settings.CloudSQLInstance
	} else if d.config.Settings.AlloyDBInstance != "" {
		at += " through the connector to " + d.config.Settings.AlloyDBInstance
	}
	if d.facts.ReadOnly {
		return Failf("let DATABASE_URL name the primary", "%s answers, but takes no writes: a replica, or set to read-only", at)
	}
	return Okf("%s answers", at)
}

// notOpened is the finding of a database that cannot be opened, with the fix for what
// the server answered, or for a server that did not answer.
func notOpened(err error) Finding {
	fix := "change what the message names, or correct DATABASE_URL"
	switch refusal := stores.RefusalOf(err); {
	case refusal == stores.NoDatabase:
		fix = "create the database, or correct its name in DATABASE_URL"
	case refusal == stores.NoUser:
		fix = "correct the user and the password in DATABASE_URL, or what the server allows this user"
	case refusal == stores.NoAnswer && errors.Is(err, queue.ErrUnavailable):
		fix = "start it, or correct DATABASE_URL"
	}
	return Failf(fix, "%s", strings.TrimPrefix(err.Error(), "inspect: "))
}

func (d *Diagnosis) checkVersion(context.Context) Finding {
	f := d.facts
	if f.TooOld {
		return Failf(fmt.Sprintf("upgrade to %s %s or later", f.Product, f.Oldest), "%s %s is older than %s, the oldest that works", f.Product, f.Version, f.Oldest)
	}
	return Okf("%s %s", f.Product, f.Version)
}

// schemaFix is what to do when the schema's version cannot be read. PostgreSQL says
// "permission denied for table", MySQL "SELECT command denied to user".
func schemaFix(err error) string {
	if text := err.Error(); strings.Contains(text, "permission denied") || strings.Contains(text, "command denied") {
		return grantFix
	}
	return "correct what the error names"
}

// checkSchema compares the tables with what this program needs.
func (d *Diagnosis) checkSchema(ctx context.Context) Finding {
	bySelf := d.mode == config.ModeLocal // serve migrates then
	if rawURL, _ := d.config.DatabaseURL(); d.file != "" || stores.InMemory(rawURL) {
		if bySelf {
			return Okf("the tables are made with the database")
		}
		return Failf(d.Name+" migrate", "there are no tables yet")
	}
	db, err := stores.As[stores.Migrator](d.db)
	if err != nil {
		return Skipf("%s", err)
	}
	all, err := db.MigrationStatus(ctx)
	if err != nil {
		return Failf(schemaFix(err), "%s", err)
	}
	newest, err := db.SchemaVersion(ctx)
	if err != nil {
		return Failf(schemaFix(err), "%s", err)
	}
	pending := 0
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			pending++
		}
	}
	needs := all[len(all)-1].Version
	switch {
	case pending > 0 && bySelf:
		return Okf("%d of %d migrations are pending; serve applies them in local mode", pending, len(all))
	case pending > 0:
		return Failf(d.Name+" migrate", "%s: %d of %d migrations are pending", queue.ErrSchema, pending, len(all))
	case newest > needs:
		return Okf("version %d, ahead of this program's %d: it was migrated by a newer one, which is fine", newest, needs)
	}
	return Okf("version %d, up to date", newest)
}

func (d *Diagnosis) checkDatabaseClock(context.Context) Finding {
	f := d.facts
	if f.Now.IsZero() {
		return Skipf("it has none")
	}
	off, doubt := offset(f.Now, f.Asked, f.Answered)
	return classifyClock(off, doubt, "the database's clock", "set the clock of the database's machine (NTP)",
		"delayed tasks run that much early or late, and are delivered twice")
}
