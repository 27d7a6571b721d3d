package mysqlstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue/mysqlstore"
)

// A server without TLS, or whose certificate is not accepted, does answer.
func TestMySQLOpenSaysThatTLSFailed(t *testing.T) {
	certificate, key := testdb.Certificate(t)
	folder := t.TempDir()
	if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil { //nolint:gosec // the server's user reads it
		t.Fatal(err)
	}
	files := map[string]string{"certificate": certificate, "key": key}
	for name, text := range files {
		files[name] = filepath.Join(folder, name)
		if err := os.WriteFile(files[name], []byte(text), 0o644); err != nil { //nolint:gosec // the server's user reads it
			t.Fatal(err)
		}
	}
	for word, option := range map[string]string{"does not support": "--skip-ssl", "unknown authority": "--ssl-cert=" + files["certificate"]} {
		options := []string{option}
		if option != "--skip-ssl" {
			options = append(options, "--ssl-key="+files["key"])
		}
		server := testdb.StartMariaDB(t, options...)
		testdb.ExecMySQL(t, server.URL(""), "CREATE DATABASE tasks")
		err := refused(t, server.URL("tasks")+"?tls=true")
		mentions(t, err, word, "no encrypted connection", "check tls in Config.URL")
		if strings.Contains(err.Error(), "does not answer") || strings.Contains(err.Error(), "is it running") {
			t.Error(err)
		}
		open(t, server.URL("tasks"), mysqlstore.Config{})
	}
}
