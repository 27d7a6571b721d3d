package queuetest_test

import (
	"os/exec"
	"strings"
	"testing"
)

// A test binary links no database driver because of this package. Its store is made of
// what every module can use, so it shows how to write one (docs/stores.md).
func TestWhatThePackageImports(t *testing.T) {
	list := func(args ...string) []string {
		out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	all := list("-deps", ".")
	if len(all) < 50 {
		t.Errorf("%d packages, so this test is blind", len(all))
	}
	for _, path := range all {
		for _, refused := range []string{"modernc.org/", "github.com/jackc/", "github.com/go-sql-driver/", "github.com/pressly/goose", "google.golang.org/", "cloud.google.com/", "go.opentelemetry.io/"} {
			if path == "database/sql" || strings.HasPrefix(path, refused) {
				t.Errorf("it links %s", path)
			}
		}
	}
	for _, path := range list("-f", `{{join .Imports "\n"}}`, ".") {
		if strings.Contains(path, "claimcheck") && path != "github.com/claimcheck-go/claimcheck/queue" {
			t.Errorf("it imports %s", path)
		}
	}
}
