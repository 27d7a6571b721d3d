package dburl_test

import (
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/dburl"
)

func TestCanonical(t *testing.T) {
	const (
		postgres = "postgres://u:p@/db?host=%2Fcloudsql%2FP%3AR%3AI"
		mysql    = "mysql://u:p@/db?socket=%2Fcloudsql%2FP%3AR%3AI"
	)
	for given, want := range map[string]string{
		"postgres://u:p@//cloudsql/P:R:I/db":                               postgres,
		"postgresql://u:p@//cloudsql/P:R:I/db":                             postgres,
		"postgres://u:p@%2Fcloudsql%2FP:R:I/db":                            postgres,
		"postgres://u:p@%2fcloudsql%2fP%3AR%3AI/db":                        postgres,
		"postgres://u:p@//cloudsql/P:R:I/.s.PGSQL.5432/db":                 postgres + "&port=5432",
		"postgres://u:p@%2Fcloudsql%2FP:R:I%2F.s.PGSQL.5432/db":            postgres + "&port=5432",
		"postgres://u:p@/db?host=/cloudsql/P:R:I/.s.PGSQL.5432":            postgres + "&port=5432",
		"postgres://u:p@%2Fvar%2Frun%2Fpostgresql:5433/db?sslmode=disable": "postgres://u:p@/db?host=%2Fvar%2Frun%2Fpostgresql&port=5433&sslmode=disable",
		"postgres:////run/postgresql/db?user=u":                            "postgres:///db?host=%2Frun%2Fpostgresql&user=u",
		"mysql://u:p@unix(/cloudsql/P:R:I)/db":                             mysql,
		"mysql://u:p@//cloudsql/P:R:I/db":                                  mysql,
		"mysql://u:p@%2Fcloudsql%2FP:R:I/db":                               mysql,
		"mysql://u:p@/db?unix_socket=/cloudsql/P:R:I":                      mysql,
		"mariadb://u:p@localhost/db?unix_socket=/cloudsql/P:R:I":           mysql,
		"mysql://u:p@//cloudsql/P:R:I/.s.MYSQL.3306/db":                    mysql,
		"mysql://u:p@//run/x/.s.MYSQL/db":                                  "mysql://u:p@/db?socket=%2Frun%2Fx%2F.s.MYSQL",
		"mariadb://u:p@h:3307/db?tls=true":                                 "mysql://u:p@h:3307/db?tls=true",

		// These are canonical, or left for the drivers to validate.
		"postgres://u:p@/db?host=/cloudsql/P:R:I":  "postgres://u:p@/db?host=/cloudsql/P:R:I",
		"postgres://u:p@h":                         "postgres://u:p@h",
		"postgres://u:p@h:5432/db?b=1&a=2":         "postgres://u:p@h:5432/db?b=1&a=2",
		"postgres://u:a/@//cloudsql/x@h/db":        "postgres://u:a/@//cloudsql/x@h/db",
		"mysql://u:p@/db?socket=/cloudsql/P:R:I":   "mysql://u:p@/db?socket=/cloudsql/P:R:I",
		"mysql://u:p@unix(/cloudsql/P:R:I/db":      "mysql://u:p@unix(/cloudsql/P:R:I/db",
		"postgres://u:p@%2Fcloudsql%2/db":          "postgres://u:p@%2Fcloudsql%2/db",
		"postgres://u:p@//a%2/db":                  "postgres://u:p@//a%2/db",
		"postgres://u:p@//cloudsql/P:R:I/db?a=%zz": "postgres://u:p@//cloudsql/P:R:I/db?a=%zz",
		"sqlite:x.db":        "sqlite:x.db",
		"oracle://u:p@//x/y": "oracle://u:p@//x/y",
	} {
		got, err := dburl.Canonical(given)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", given, got, err, want)
		}
		if again, err := dburl.Canonical(got); err != nil || again != got {
			t.Errorf("%s: twice gives %s, %v", given, again, err)
		}
	}
	for given, want := range map[string]string{
		"postgres://u:s3cret@//cloudsql/P:R:I":                         "no database",
		"postgres://u:s3cret@//cloudsql/P:R:I/":                        "no database",
		"postgres://u:s3cret@//cloudsql/P:R:I/.s.PGSQL.5432":           "no database",
		"postgres://u:s3cret@%2Fcloudsql%2FP:R:I":                      "no database",
		"mysql://u:s3cret@unix(/cloudsql/P:R:I)":                       "no database",
		"mysql://u:s3cret@unix(/cloudsql/P:R:I)/":                      "no database",
		"postgres://u:s3cret@//cloudsql/P:R:I/db?host=/other":          "twice",
		"mysql://u:s3cret@unix(/cloudsql/P:R:I)/db?unix_socket=/other": "twice",
	} {
		if got, err := dburl.Canonical(given); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %s, %v; want an error that says %q", given, got, err, want)
		}
	}
}

func TestSuggestion(t *testing.T) {
	for given, want := range map[string]string{
		"claimcheck.db":                     "sqlite:claimcheck.db",
		"/var/lib/tasks":                    "sqlite:/var/lib/tasks",
		"./tasks.sqlite3":                   "sqlite:./tasks.sqlite3",
		"sqlite3:///srv/x.db":               "sqlite:/srv/x.db",
		"file:x.db":                         "sqlite:x.db",
		"mysql+pymysql://u:s3cret@h/db":     "mysql://USER:PASSWORD@HOST/NAME",
		"mysql2://u:s3cret@h/db":            "mysql://USER:PASSWORD@HOST/NAME",
		"postgresql+asyncpg://u:s3cret@h/d": "postgres://USER:PASSWORD@HOST/NAME",
		"Postgres://u:s3cret@h/d":           "postgres://USER:PASSWORD@HOST/NAME",
		"postgis://u:s3cret@h/d":            "postgres://USER:PASSWORD@HOST/NAME",
		"user=u password=s3cret host=/cloudsql/P:R:I database=db": "postgres://USER:PASSWORD@HOST/NAME, or postgres://USER:PASSWORD@/NAME?host=/DIRECTORY for a socket",
		"u:s3cret@unix(/cloudsql/P:R:I)/db?parseTime=true":        "mysql://USER:PASSWORD@HOST/NAME, or mysql://USER:PASSWORD@/NAME?socket=/PATH for a socket",
		"u:s3cret@tcp(h:3306)/db":                                 "mysql://USER:PASSWORD@HOST/NAME, or mysql://USER:PASSWORD@/NAME?socket=/PATH for a socket",
		"oracle://u:s3cret@h/d":                                   "",
		"u:s3cret@h/tasks.db":                                     "",
		"":                                                        "",
	} {
		if got := dburl.Suggestion(given); got != want {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
	}
}
