package storekit

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// narrows finds changes that break a program of the previous release: it does not set a
// new required column, and uses what was dropped or renamed.
var narrows = regexp.MustCompile(`(?i)\b(DROP\s+(TABLE|COLUMN)|RENAME|MODIFY|ALTER\s+COLUMN|CHANGE\s+COLUMN|SET\s+NOT\s+NULL|ADD\s+CONSTRAINT|TRUNCATE)\b`)

var (
	addsColumn = regexp.MustCompile(`(?i)\bADD\s+COLUMN\b[^,;]*`)
	notNull    = regexp.MustCompile(`(?i)\bNOT\s+NULL\b`)
	hasDefault = regexp.MustCompile(`(?i)\bDEFAULT\b`)
	comment    = regexp.MustCompile(`--.*`)
)

// narrowing returns the parts of a migration that break the previous release.
func narrowing(sql string) []string {
	up, _, _ := strings.Cut(sql, "-- +goose Down")
	up = comment.ReplaceAllString(up, "")
	up = strings.ReplaceAll(up, "AFTER TRUNCATE", "") // of a trigger
	found := narrows.FindAllString(up, -1)
	for _, column := range addsColumn.FindAllString(up, -1) {
		if notNull.MatchString(column) && !hasDefault.MatchString(column) {
			found = append(found, column)
		}
	}
	return found
}

// The previous release runs on the schema of the next one.
func TestMigrationsOnlyAdd(t *testing.T) {
	files, err := filepath.Glob("../../*/migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob("../../queue/*/migrations/*/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, deeper...)
	if len(files) < 10 {
		t.Fatalf("only %d migrations were found", len(files))
	}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // a migration of this module
		if err != nil {
			t.Fatal(err)
		}
		if found := narrowing(string(text)); found != nil {
			t.Errorf("%s: %q breaks the previous release; add first, and remove one release later", file, found)
		}
	}
}

func TestNarrowingIsFound(t *testing.T) {
	for sql, want := range map[string]int{
		"ALTER TABLE t ADD COLUMN a text;":                       0,
		"ALTER TABLE t ADD COLUMN a text NOT NULL DEFAULT '';":   0,
		"ALTER TABLE t ADD COLUMN a text NOT NULL;":              1,
		"ALTER TABLE t DROP COLUMN a;":                           1,
		"ALTER TABLE t RENAME TO u; DROP TABLE v;":               2,
		"-- drop column\nDROP INDEX i; CREATE INDEX j ON t (a);": 0,
		"CREATE TABLE t (a int);\n-- +goose Down\nDROP TABLE t;": 0,
		"ALTER TABLE t MODIFY a bigint;":                         1,
		"ALTER TABLE t ALTER COLUMN a SET NOT NULL;":             2,
		"ALTER TABLE t ADD CONSTRAINT positive CHECK (a > 0);":   1,
	} {
		if got := narrowing(sql); len(got) != want {
			t.Errorf("%s: %q, want %d", sql, got, want)
		}
	}
}
