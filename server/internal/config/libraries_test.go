package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// serverDirs are the directories whose texts are the server's own: they name settings.
var serverDirs = []string{"server", "server/internal", "cmd", "examples", "bench", "tools", "deploy", "internal/chaos", "internal/testdb"}

// allowed are the literals of libraries that contain the name of a setting, each
// with the reason.
var allowed = map[string]string{
	"detect/host.go:CLOUD_RUN_TAG": "the variable is an input of the package, as those of the platforms are",
	"cloudtasks/cloudtaskstest/cmd/cloudtasks-emulator/main.go:CLOUD_TASKS_EMULATOR_HOST": "the emulator prints the settings that a server needs to use it",
	"cloudtasks/cloudtaskstest/cmd/cloudtasks-emulator/main.go:OIDC_ISSUER":               "the same",
	"cloudtasks/cloudtaskstest/cmd/cloudtasks-emulator/main.go:OIDC_CERTS_URL":            "the same",
}

// Packages that can be used without the server name their own fields: the server's
// settings mean nothing to a program that has none of them.
func TestLibrariesDoNotNameSettings(t *testing.T) {
	names := regexp.MustCompile(`\b(` + strings.Join(Names(), "|") + `|CLAIMCHECK_[A-Z_]+)\b`)
	unused := map[string]bool{}
	for entry := range allowed {
		unused[entry] = true
	}
	files := 0
	const root = "../../.."
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && name != "." || entry.Name() == "testdata" || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || isServers(filepath.ToSlash(name)) {
			return nil
		}
		files++
		for _, setting := range settingsIn(t, path, names) {
			entry := filepath.ToSlash(name) + ":" + setting
			if delete(unused, entry); allowed[entry] == "" {
				t.Errorf("%s: a text names the setting %s: name the field instead, and let the server map it", name, setting)
			}
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("%d files, %v", files, err)
	}
	for entry := range unused {
		t.Errorf("%s is allowed and does not occur", entry)
	}
}

// isServers reports whether a file is of a package of the server: those
// in serverDirs itself, and all below them but the packages of server/.
func isServers(name string) bool {
	dir := filepath.ToSlash(filepath.Dir(name))
	for _, prefix := range serverDirs {
		if dir == prefix || prefix != "server" && strings.HasPrefix(dir, prefix+"/") {
			return true
		}
	}
	return false
}

// settingsIn returns the settings that the string literals of a file contain.
func settingsIn(t *testing.T, path string, names *regexp.Regexp) (found []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			found = append(found, names.FindAllString(literal.Value, -1)...)
		}
		return true
	})
	return found
}
