package examples_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A program that imports the queue and a store links nothing of Google, no telemetry
// SDK, no gRPC, and no driver but its own: that is paid by who imports package server.
func TestWhatTheQueueAndAStoreImport(t *testing.T) {
	const module = "github.com/claimcheck-go/claimcheck/"
	drivers := map[string]string{"pgstore": "github.com/jackc/pgx/v5", "mysqlstore": "github.com/go-sql-driver/mysql", "sqlitestore": "modernc.org/sqlite"}
	for store, own := range drivers {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"queue", module+"queue/"+store).Output()
		if err != nil {
			t.Fatal(err)
		}
		imports := strings.Fields(string(out))
		if !slices.Contains(imports, own) {
			t.Errorf("%s does not import %s, so this test is blind", store, own)
		}
		for _, path := range imports {
			refused := strings.HasPrefix(path, module+"server")
			for _, prefix := range []string{"cloud.google.com/", "google.golang.org/", "github.com/googleapis/", "go.opentelemetry.io/", "github.com/prometheus/", "github.com/alecthomas/kong"} {
				refused = refused || strings.HasPrefix(path, prefix)
			}
			for other, driver := range drivers {
				refused = refused || other != store && (path == driver || strings.HasPrefix(path, driver+"/"))
			}
			if refused {
				t.Errorf("queue with %s imports %s", store, path)
			}
		}
	}
}
