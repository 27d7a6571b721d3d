package lintrules

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// libraries can be used without package server: their texts name their own fields,
// which package server maps to its settings.
var libraries = []string{"server/httpapi", "server/internal/api", "server/admin", "server/telemetry", "server/webhook", "queue/pgstore", "queue/queuetest", "queue/storetest"}

var (
	setting       = regexp.MustCompile(`env:"([A-Z0-9_]+)`)
	serverCommand = regexp.MustCompile(`\bserver (serve|work|migrate|sweep|purge|doctor|requeue|enqueue|status|schedules|queues|delete)\b`)
)

func TestLibrariesNameNoSettingOfTheServer(t *testing.T) {
	names := map[string]bool{}
	for _, path := range files(t, "server/internal/config", ".go") {
		for _, found := range setting.FindAllStringSubmatch(text(t, path), -1) {
			names[found[1]] = true
		}
	}
	if !names["DATABASE_URL"] || !names["ADMIN_TOKEN"] || len(names) < 30 {
		t.Fatalf("only these settings were found: %v", names)
	}
	word := regexp.MustCompile(`[A-Z][A-Z0-9]*(_[A-Z0-9]+)+`)
	for _, library := range libraries {
		paths := append(files(t, library, ".go"), files(t, library, ".html")...)
		paths = append(paths, files(t, library, "api.json")...)
		if len(paths) == 0 {
			t.Errorf("%s has no files", library)
		}
		for _, path := range paths {
			for i, line := range strings.Split(text(t, path), "\n") {
				for _, found := range word.FindAllString(line, -1) {
					if names[found] {
						t.Errorf("%s:%d names the server's setting %s", path, i+1, found)
					}
				}
				if found := serverCommand.FindString(line); found != "" {
					t.Errorf("%s:%d names the server's command %q", path, i+1, found)
				}
			}
		}
	}
}

// files are the files of a package, with its templates, but for tests.
func files(t *testing.T, dir, suffix string) (found []string) {
	t.Helper()
	for _, pattern := range []string{"*", "templates/*"} {
		matches, err := filepath.Glob(filepath.Join(root, dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range matches {
			if strings.HasSuffix(path, suffix) && !strings.HasSuffix(path, "_test.go") {
				found = append(found, path)
			}
		}
	}
	return found
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
