package sqlstore_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A program links the driver of the store that it imports and no other, and no
// client of a cloud.
func TestAStoreLinksNoOtherDriver(t *testing.T) {
	drivers := []string{"modernc.org/sqlite", "github.com/go-sql-driver/mysql", "github.com/jackc/pgx/v5"}
	for store, own := range map[string]string{"sqlitestore": drivers[0], "mysqlstore": drivers[1], "pgstore": drivers[2]} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/claimcheck-go/claimcheck/queue/"+store).Output()
		if err != nil {
			t.Fatal(err)
		}
		linked := strings.Fields(string(out))
		t.Logf("%s: %d packages", store, len(linked))
		if !slices.Contains(linked, own) {
			t.Errorf("%s does not link %s", store, own)
		}
		if store == "sqlitestore" && slices.Contains(linked, "crypto/tls") {
			t.Error("sqlitestore links TLS, which no file requires")
		}
		for _, path := range linked {
			foreign := slices.ContainsFunc(drivers, func(d string) bool { return d != own && strings.HasPrefix(path, d) })
			if foreign || strings.HasPrefix(path, "cloud.google.com/") || strings.HasPrefix(path, "google.golang.org/") || strings.HasPrefix(path, "go.opentelemetry.io/") {
				t.Errorf("%s links %s", store, path)
			}
		}
	}
}
