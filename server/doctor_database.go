package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// databaseChecks are those of the database. An SQLite file that does not exist
// yet is not made, and so has nothing to be asked.
func (e *examination) databaseChecks() []doctor.Check {
	rawURL, _ := e.config.DatabaseURL()
	embedded := stores.Embedded(rawURL)
	if embedded {
		e.file = stores.MissingFile(rawURL)
	}
	server := func(name string, look func(context.Context) doctor.Finding) doctor.Check {
		check := doctor.Check{Name: name, Needs: []string{"database"}, Look: look}
		if embedded {
			check.Skip = "SQLite is part of this process"
		}
		return check
	}
	pooler, packet := server("pooler", e.checkPooler), server("packet size", e.checkPacketSize)
	packet.Needs = append(packet.Needs, "TASKS_MAX_BODY")
	if stores.IsMySQL(rawURL) {
		pooler.Skip = "for PostgreSQL only"
	} else if !embedded {
		packet.Skip = "for MySQL and MariaDB only"
	}
	schema := doctor.Check{Name: "schema", Needs: []string{"database", "version"}, Look: e.checkSchema}
	version := doctor.Check{Name: "version", Needs: []string{"database"}, Look: e.checkVersion}
	if e.file != "" {
		version.Skip, schema.Needs = "there is no database yet", []string{"database"}
	}
	integrity := doctor.Check{Name: "integrity", Needs: []string{"database"}, Look: e.checkIntegrity}
	switch {
	case !embedded:
		integrity.Skip = "a server watches over its files"
	case e.file != "" || strings.HasSuffix(rawURL, ":memory:"):
		integrity.Skip = "there is no file yet"
	}
	if e.cmd.Integrity {
		integrity.Limit = 10 * time.Minute
	}
	return []doctor.Check{
		{Name: "database", Look: e.checkDatabase,
			Needs: []string{"DATABASE_URL", "DB_MAX_CONNS", "CLOUD_SQL_INSTANCE", "CLOUD_SQL_IAM_AUTH", "CLOUD_SQL_PRIVATE_IP", "ALLOYDB_INSTANCE", "ALLOYDB_IAM_AUTH", "ALLOYDB_ADDRESS"}},
		version,
		server("durability", e.checkDurability),
		server("connections", e.checkConnections),
		packet,
		pooler,
		schema,
		{Name: "rights", Needs: []string{"database", "schema"}, Look: e.checkRights},
		integrity,
		server("database clock", e.checkDatabaseClock),
	}
}

func (e *examination) checkDatabase(ctx context.Context) doctor.Finding {
	rawURL, err := e.config.DatabaseURL()
	if err != nil {
		return doctor.Failf("set DATABASE_URL", "%s", err)
	}
	if problem := stores.FileProblem(rawURL); problem != nil {
		return doctor.Failf("let this user write there, or let DATABASE_URL name a path where it may", "%s", problem)
	}
	if e.file != "" {
		return doctor.Okf("%s does not exist yet: the first command that needs it makes it", e.file)
	}
	open, err := e.databaseOpener(opening{unchecked: true})
	if err != nil {
		return doctor.Failf("correct DATABASE_URL", "%s", err)
	}
	if e.db, err = open(ctx); err != nil {
		return doctor.Failf(openFix(err), "%s", err)
	}
	if e.facts, err = e.inspect(ctx, e.db); err != nil {
		return doctor.Failf(openFix(err), "%s", err)
	}
	at := stores.Describe(rawURL)
	if e.config.Settings.CloudSQLInstance != "" {
		at += " through the connector to " + e.config.Settings.CloudSQLInstance
	} else if e.config.Settings.AlloyDBInstance != "" {
		at += " through the connector to " + e.config.Settings.AlloyDBInstance
	}
	if e.facts.ReadOnly {
		return doctor.Failf("let DATABASE_URL name the primary", "%s answers, but takes no writes: a replica, or set to read-only", at)
	}
	return doctor.Okf("%s answers", at)
}

// openFix is the fix for a database that cannot be opened. One that answered runs,
// and err says what is wrong with it.
func openFix(err error) string {
	if errors.Is(err, queue.ErrUnavailable) {
		return "start it, or correct DATABASE_URL"
	}
	return "change what the message names, or correct DATABASE_URL"
}

func (e *examination) checkVersion(context.Context) doctor.Finding {
	f := e.facts
	if f.TooOld {
		return doctor.Failf(fmt.Sprintf("upgrade to %s %s or later", f.Product, f.Oldest), "%s %s is older than %s, the oldest that works", f.Product, f.Version, f.Oldest)
	}
	return doctor.Okf("%s %s", f.Product, f.Version)
}

// checkDurability fails for what serve refuses, and warns of the rest.
func (e *examination) checkDurability(context.Context) doctor.Finding {
	var seen, bad, mends []string
	status := doctor.OK
	for _, set := range e.facts.Durability {
		text := set.Name + " = " + set.Value
		seen = append(seen, text)
		if set.Loses == "" {
			continue
		}
		bad, mends = append(bad, text+": "+set.Loses), append(mends, set.Mend)
		if set.Refused {
			status = doctor.Fail
		} else if status == doctor.OK {
			status = doctor.Warn
		}
	}
	if len(bad) > 0 {
		seen = bad
	}
	return doctor.Finding{Status: status, Detail: strings.Join(seen, "; "), Mend: strings.Join(mends, "; ")}
}

// checkConnections weighs the pool against the server's limits. While a release
// runs, the old revision and the new one both have their instances.
func (e *examination) checkConnections(context.Context) doctor.Finding {
	f, pool := e.facts, e.config.Settings.DBMaxConns
	free, limit := f.MaxConnections-f.Reserved, "max_connections"
	if f.UserLimit > 0 && f.UserLimit < free {
		free, limit = f.UserLimit, "the limit of this user or database"
	}
	fit := free / pool
	seen := fmt.Sprintf("a pool of %d for each instance; the server takes %d (%s, %d reserved for administrators), %d are open", pool, free, limit, f.Reserved, f.Connections)
	mend := func(instances int) string {
		if most := free / (2 * instances); most > 0 {
			return fmt.Sprintf("DB_MAX_CONNS=%d, or raise %s, or put a pooler in between and set DB_POOLER=true", most, limit)
		}
		return fmt.Sprintf("raise %s, or put a pooler in between and set DB_POOLER=true", limit)
	}
	switch n := e.cmd.MaxInstances; {
	case f.Pooled:
		return doctor.Okf("a pool of %d for each instance, through a pooler that has connections of its own", pool)
	case n > 0 && n*pool > free:
		return doctor.Warnf(mend(n), "%s: %d instances want %d", seen, n, n*pool)
	case n > 0 && 2*n*pool > free:
		return doctor.Warnf(mend(n), "%s: %d instances want %d, and %d while a release runs", seen, n, n*pool, 2*n*pool)
	case n > 0:
		return doctor.Okf("%s: %d instances want %d, and %d while a release runs", seen, n, n*pool, 2*n*pool)
	case fit < 2:
		return doctor.Warnf(mend(1), "%s: there is no room for a second instance", seen)
	}
	return doctor.Okf("%s: room for %d instances, or %d while a release runs (--max-instances says how many there are)", seen, fit, fit/2)
}

// checkPacketSize compares the largest statement that the server takes with the
// largest task: quotes and backslashes are sent as two bytes each.
func (e *examination) checkPacketSize(context.Context) doctor.Finding {
	const rest = 64 << 10 // of a statement
	body, packet := uint64(max(0, e.config.Settings.TasksMaxBody)), e.facts.MaxPacket
	needs := 2*body + rest
	seen := fmt.Sprintf("max_allowed_packet is %s, TASKS_MAX_BODY %s", humanize.IBytes(packet), humanize.IBytes(body))
	if packet >= needs {
		return doctor.Okf("%s", seen)
	}
	return doctor.Warnf(fmt.Sprintf("SET GLOBAL max_allowed_packet = %d (and in my.cnf or the instance's flags), or a smaller TASKS_MAX_BODY", needs),
		"%s: the server refuses tasks and results of that size (413 at enqueue; a result that is too large fails its task)", seen)
}

func (e *examination) checkPooler(context.Context) doctor.Finding {
	switch pooled, said := e.facts.Pooled, e.config.Settings.DBPooler; {
	case pooled && !said:
		return doctor.Warnf("DB_POOLER=true", "a connection pooler sits in between; if it pools transactions, statements that are prepared get lost")
	case pooled:
		return doctor.Okf("one sits in between, and no statement is prepared")
	case said:
		return doctor.Okf("none was seen, yet DB_POOLER is true: statements are not prepared, which costs the server about twice the CPU")
	}
	return doctor.Okf("none sits in between; statements are prepared")
}

// schemaMend is what to do when the schema's version cannot be read. PostgreSQL says
// "permission denied for table", MySQL "SELECT command denied to user".
func schemaMend(err error) string {
	if text := err.Error(); strings.Contains(text, "permission denied") || strings.Contains(text, "command denied") {
		return grantMend
	}
	return "correct what the error names"
}

// checkSchema compares the tables with what this program needs.
func (e *examination) checkSchema(ctx context.Context) doctor.Finding {
	bySelf := e.mode == config.ModeLocal // serve migrates then
	if rawURL, _ := e.config.DatabaseURL(); e.file != "" || stores.InMemory(rawURL) {
		if bySelf {
			return doctor.Okf("the tables are made with the database")
		}
		return doctor.Failf(e.name+" migrate", "there are no tables yet")
	}
	db, err := stores.As[stores.Migrator](e.db)
	if err != nil {
		return doctor.Skipf("%s", err)
	}
	all, err := db.MigrationStatus(ctx)
	if err != nil {
		return doctor.Failf(schemaMend(err), "%s", err)
	}
	newest, err := db.SchemaVersion(ctx)
	if err != nil {
		return doctor.Failf(schemaMend(err), "%s", err)
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
		return doctor.Okf("%d of %d migrations are pending; serve applies them in local mode", pending, len(all))
	case pending > 0:
		return doctor.Failf(e.name+" migrate", "%s: %d of %d migrations are pending", queue.ErrSchema, pending, len(all))
	case newest > needs:
		return doctor.Okf("version %d, ahead of this program's %d: it was migrated by a newer one, which is fine", newest, needs)
	}
	return doctor.Okf("version %d, up to date", newest)
}

func (e *examination) checkDatabaseClock(context.Context) doctor.Finding {
	f := e.facts
	if f.Now.IsZero() {
		return doctor.Skipf("it has none")
	}
	off, doubt := offset(f.Now, f.Asked, f.Answered)
	return judgeClock(off, doubt, "the database's clock", "set the clock of the database's machine (NTP)",
		"tasks with a time of their own run that much early or late, and their deliveries come twice")
}

// known is the value of a setting for a command, or a placeholder where the setting
// is missing or wrong.
func known(setting, value, placeholder string) string {
	if value == "" || value == standIns[setting] {
		return placeholder
	}
	return value
}

// checkSweeper asks when the sweeper was last seen; a scheduler calls it every
// minute.
func (e *examination) checkSweeper(ctx context.Context) doctor.Finding {
	if e.db == nil {
		return doctor.Skipf("there is no database yet")
	}
	db, err := stores.As[queue.Operator](e.db)
	if err != nil {
		return doctor.Skipf("%s", err)
	}
	marks, err := db.Touched(ctx)
	if err != nil {
		return doctor.Failf("", "%s", err)
	}
	origin, audience := cloudtasks.WithoutTag(e.handlerOrigin(ctx)), firstIn(e.target.Audiences) // a tag's revision may go
	if e.config.Settings.TaskHandlerURL == standIns["TASK_HANDLER_URL"] {
		if audience == origin {
			audience = "URL_OF_THE_SERVICE"
		}
		origin = "URL_OF_THE_SERVICE"
	}
	mend := fmt.Sprintf("gcloud scheduler jobs create http claimcheck-sweep --location=%s --project=%s --schedule='* * * * *' --uri=%s/tasks/sweep/ --http-method=POST --oidc-service-account-email=%s --oidc-token-audience=%s",
		known("CLOUD_TASKS_LOCATION", e.config.Settings.CloudTasksLocation, "LOCATION"), known("CLOUD_TASKS_PROJECT", e.config.Settings.CloudTasksProject, "PROJECT"),
		origin, known("OIDC_SERVICE_ACCOUNT_EMAIL", e.config.Settings.OIDCServiceAccountEmail, "ACCOUNT_THAT_MAY_CALL"), audience)
	if e.target.Tasks.AppEngine != nil {
		mend = "gcloud app deploy cron.yaml"
	}
	swept, seen := marks[queue.TouchSwept]
	if !seen {
		return doctor.Warnf(mend, "it has never been seen: tasks whose ticket was lost wait for ever")
	}
	now := time.Now()
	if !e.facts.Now.IsZero() {
		now = e.facts.Now
	}
	ago := max(0, now.Sub(swept)).Round(time.Second)
	if ago > longSinceSwept {
		return doctor.Warnf(mend, "it was last seen %s ago: tasks whose ticket was lost wait for it", ago)
	}
	return doctor.Okf("seen %s ago", ago)
}

// longSinceSwept is when a scheduler that calls every minute has missed enough
// calls to be looked at.
const longSinceSwept = 10 * time.Minute

func firstIn(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
