package doctor

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
		return Failf(openFix(err), "%s", err)
	}
	if d.facts, err = d.Inspect(ctx, d.db); err != nil {
		return Failf(openFix(err), "%s", err)
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

// openFix is the fix for a database that cannot be opened. One that answered runs,
// and err says what is wrong with it.
func openFix(err error) string {
	if errors.Is(err, queue.ErrUnavailable) {
		return "start it, or correct DATABASE_URL"
	}
	return "change what the message names, or correct DATABASE_URL"
}

func (d *Diagnosis) checkVersion(context.Context) Finding {
	f := d.facts
	if f.TooOld {
		return Failf(fmt.Sprintf("upgrade to %s %s or later", f.Product, f.Oldest), "%s %s is older than %s, the oldest that works", f.Product, f.Version, f.Oldest)
	}
	return Okf("%s %s", f.Product, f.Version)
}

// checkDurability fails for what serve refuses, and warns about the rest.
func (d *Diagnosis) checkDurability(context.Context) Finding {
	var seen, bad, fixes []string
	status := OK
	for _, set := range d.facts.Durability {
		text := set.Name + " = " + set.Value
		seen = append(seen, text)
		if set.Loses == "" {
			continue
		}
		bad, fixes = append(bad, text+": "+set.Loses), append(fixes, set.Fix)
		if set.Refused {
			status = Fail
		} else if status == OK {
			status = Warn
		}
	}
	if len(bad) > 0 {
		seen = bad
	}
	return Finding{Status: status, Detail: strings.Join(seen, "; "), Fix: strings.Join(fixes, "; ")}
}

// checkConnections weighs the pool against the server's limits. While a release
// runs, the old revision and the new one both have their instances.
func (d *Diagnosis) checkConnections(context.Context) Finding {
	f, pools, pool, what := d.facts, 1, d.config.Settings.DBMaxConns, "a pool of %d for each instance"
	if d.OwnPool != nil && d.OwnPool() {
		pools, pool, what = 2, 2*pool, "two pools, the queue's and that of the program's Setup, of %d in all for each instance"
	}
	what = fmt.Sprintf(what, pool)
	free, limit := f.MaxConnections-f.Reserved, "max_connections"
	if f.UserLimit > 0 && f.UserLimit < free {
		free, limit = f.UserLimit, "the limit of this user or database"
	}
	fit := free / pool
	seen := fmt.Sprintf("%s; the server takes %d (%s, %d reserved for administrators), %d are open", what, free, limit, f.Reserved, f.Connections)
	fix := func(instances int) string {
		if most := free / (2 * instances * pools); most > 0 {
			return fmt.Sprintf("DB_MAX_CONNS=%d, or raise %s, or put a pooler in between and set DB_POOLER=true", most, limit)
		}
		return fmt.Sprintf("raise %s, or put a pooler in between and set DB_POOLER=true", limit)
	}
	switch n := d.MaxInstances; {
	case f.Pooled:
		return Okf("%s, through a pooler that has connections of its own", what)
	case n > 0 && n*pool > free:
		return Warnf(fix(n), "%s: %d instances want %d", seen, n, n*pool)
	case n > 0 && 2*n*pool > free:
		return Warnf(fix(n), "%s: %d instances want %d, and %d while a release runs", seen, n, n*pool, 2*n*pool)
	case n > 0:
		return Okf("%s: %d instances want %d, and %d while a release runs", seen, n, n*pool, 2*n*pool)
	case fit < 2:
		return Warnf(fix(1), "%s: there is no room for a second instance", seen)
	}
	return Okf("%s: room for %d instances, or %d while a release runs (--max-instances says how many there are)", seen, fit, fit/2)
}

// checkPacketSize compares the largest statement that the server takes with the
// largest task: quotes and backslashes are sent as two bytes each.
func (d *Diagnosis) checkPacketSize(context.Context) Finding {
	const rest = 64 << 10 // of a statement
	body, packet := uint64(max(0, d.config.Settings.TasksMaxBody)), d.facts.MaxPacket
	needs := 2*body + rest
	seen := fmt.Sprintf("max_allowed_packet is %s, TASKS_MAX_BODY %s", humanize.IBytes(packet), humanize.IBytes(body))
	if packet >= needs {
		return Okf("%s", seen)
	}
	return Warnf(fmt.Sprintf("SET GLOBAL max_allowed_packet = %d (and in my.cnf or the instance's flags), or a smaller TASKS_MAX_BODY", needs),
		"%s: the server refuses tasks and results of that size (413 at enqueue; a result that is too large fails its task)", seen)
}

func (d *Diagnosis) checkPooler(context.Context) Finding {
	switch pooled, set := d.facts.Pooled, d.config.Settings.DBPooler; {
	case pooled && !set:
		return Warnf("DB_POOLER=true", "a connection pooler sits in between; if it pools transactions, statements that are prepared get lost")
	case pooled:
		return Okf("one sits in between, and no statement is prepared")
	case set:
		return Okf("none was seen, yet DB_POOLER is true: statements are not prepared, which costs the server about twice the CPU")
	}
	return Okf("none sits in between; statements are prepared")
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

// known is the value of a setting for a command, or a placeholder where the setting
// is missing or wrong.
func known(setting, value, placeholder string) string {
	if value == "" || value == standIns[setting] {
		return placeholder
	}
	return value
}

// checkSweeper reads when the sweeper last ran; a scheduler calls it every
// minute.
func (d *Diagnosis) checkSweeper(ctx context.Context) Finding {
	if d.db == nil {
		return Skipf("there is no database yet")
	}
	db, err := stores.As[queue.Operator](d.db)
	if err != nil {
		return Skipf("%s", err)
	}
	marks, err := db.Touched(ctx)
	if err != nil {
		return Failf("", "%s", err)
	}
	origin, audience := cloudtasks.WithoutTag(d.handlerOrigin(ctx)), firstIn(d.target.Audiences) // a tag's revision may go
	if d.config.Settings.TaskHandlerURL == standIns["TASK_HANDLER_URL"] {
		if audience == origin {
			audience = "URL_OF_THE_SERVICE"
		}
		origin = "URL_OF_THE_SERVICE"
	}
	fix := fmt.Sprintf("gcloud scheduler jobs create http claimcheck-sweep --location=%s --project=%s --schedule='* * * * *' --uri=%s/tasks/sweep/ --http-method=POST --oidc-service-account-email=%s --oidc-token-audience=%s",
		known("CLOUD_TASKS_LOCATION", d.config.Settings.CloudTasksLocation, "LOCATION"), known("CLOUD_TASKS_PROJECT", d.config.Settings.CloudTasksProject, "PROJECT"),
		origin, known("OIDC_SERVICE_ACCOUNT_EMAIL", d.config.Settings.OIDCServiceAccountEmail, "ACCOUNT_THAT_MAY_CALL"), audience)
	if d.target.Tasks.AppEngine != nil {
		fix = "gcloud app deploy cron.yaml"
	}
	swept, seen := marks[queue.TouchSwept]
	if !seen {
		return Warnf(fix, "it has never run: tasks whose ticket was lost wait forever")
	}
	now := time.Now()
	if !d.facts.Now.IsZero() {
		now = d.facts.Now
	}
	ago := max(0, now.Sub(swept)).Round(time.Second)
	if ago > longSinceSwept {
		return Warnf(fix, "it last ran %s ago: tasks whose ticket was lost wait for it", ago)
	}
	return Okf("ran %s ago", ago)
}

// longSinceSwept is the time after which a scheduler that calls every minute has missed enough
// calls to be looked at.
const longSinceSwept = 10 * time.Minute

func firstIn(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
