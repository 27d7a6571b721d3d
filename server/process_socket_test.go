package server

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
)

// cloudSQLSocket makes the path that Cloud Run mounts for a Cloud SQL instance,
// below a directory of the test's, and links it to a server's socket.
func cloudSQLSocket(t *testing.T, socket, file string) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "") // a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "cloudsql", "shop:europe-west1:tasks")
	link := filepath.Join(path, file)
	if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(socket, link); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each form in which guides write the URL of a Cloud SQL socket reaches the
// database, and the password stays out of what is printed.
func TestSocketURLsOfGuidesReachTheDatabase(t *testing.T) {
	postgres, mariadb := testdb.StartPostgres(t), testdb.StartMariaDB(t)
	testdb.Exec(t, postgres.URL("postgres"), `CREATE ROLE app LOGIN SUPERUSER PASSWORD 's3cret'`)
	testdb.ExecMySQL(t, mariadb.URL(""), `CREATE DATABASE tasks; CREATE USER app IDENTIFIED BY 's3cret'; GRANT ALL ON *.* TO app`)
	directory := cloudSQLSocket(t, postgres.Socket(), ".s.PGSQL.5432")
	socket := cloudSQLSocket(t, mariadb.Socket(), "")
	for form, want := range map[string]string{
		"postgres://app:s3cret@/postgres?host=" + directory:                    directory,
		"postgres://app:s3cret@/postgres?host=" + directory + "/.s.PGSQL.5432": directory,
		"postgresql://app:s3cret@/" + directory + "/postgres":                  directory,
		"postgres://app:s3cret@/" + directory + "/.s.PGSQL.5432/postgres":      directory,
		"postgres://app:s3cret@" + url.QueryEscape(directory) + "/postgres":    directory,
		"postgres://app:s3cret@" + halfEscaped(directory) + "/postgres":        directory,
		"mysql://app:s3cret@/tasks?socket=" + socket:                           socket,
		"mysql://app:s3cret@localhost/tasks?unix_socket=" + socket:             socket,
		"mysql://app:s3cret@unix(" + socket + ")/tasks":                        socket,
		"mysql://app:s3cret@/" + socket + "/tasks":                             socket,
		"mariadb://app:s3cret@" + url.QueryEscape(socket) + "/tasks":           socket,
		"mysql://app:s3cret@/tasks?socket=" + socket + "/.s.MYSQL.3306":        socket,
	} {
		dir, env := t.TempDir(), []string{"DATABASE_URL=" + form}
		if r := procRun(t, dir, env, "", "migrate"); r.status != 0 {
			t.Errorf("%s: migrate: %+v", form, r)
			continue
		}
		r := procRun(t, dir, env, "", "doctor")
		if line := lineOf(r.stdout, "DATABASE_URL"); !strings.Contains(line, want) || strings.Contains(r.stdout+r.stderr, "s3cret") {
			t.Errorf("%s: doctor says %q, want %s in it, and no password in\n%s%s", form, line, want, r.stdout, r.stderr)
		}
	}
}

// halfEscaped has only its slashes encoded, as dj-database-url wants them.
func halfEscaped(path string) string { return strings.ReplaceAll(path, "/", "%2F") }

// lineOf is the line of doctor about one check.
func lineOf(text, check string) string {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == check {
			return line
		}
	}
	return ""
}

// Settings in the forms of other programs are refused with the form that is
// meant; nothing of the password is shown.
func TestDatabaseURLsOfOtherProgramsAreRefusedWithTheRightForm(t *testing.T) {
	for given, want := range map[string]string{
		"claimcheck.db":                        "write sqlite:claimcheck.db",
		"sqlite3:///srv/tasks.db":              "write sqlite:/srv/tasks.db",
		"mysql+pymysql://u:s3cret@h/db":        "write mysql://USER:PASSWORD@HOST/NAME",
		"u:s3cret@unix(/cloudsql/P:R:I)/db":    "mysql://USER:PASSWORD@/NAME?socket=/PATH",
		"user=u password=s3cret host=/x":       "postgres://USER:PASSWORD@/NAME?host=/DIRECTORY",
		"postgres://u:s3cret@//cloudsql/P:R:I": "DATABASE_URL: the URL names a socket and no database",
		"s3cret":                               "DATABASE_URL must begin with postgres://",
	} {
		r := procRun(t, t.TempDir(), []string{"DATABASE_URL=" + given}, "", "status")
		r.wantRefusal(t, 2, "DATABASE_URL", want)
		if strings.Contains(r.stderr, "s3cret") || strings.Contains(r.stderr, "--database-url") {
			t.Errorf("%s: %s", given, r.stderr)
		}
	}
}
