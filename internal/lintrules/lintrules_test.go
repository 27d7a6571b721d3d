// Package lintrules checks that the import rules of .golangci.yml keep up with the
// layout: a rule for files that have moved, or against a package that was renamed,
// passes silently.
package lintrules

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	root   = "../.."
	module = "github.com/claimcheck-go/claimcheck"
)

type rule struct {
	Files []string
	Allow []string
	Deny  []struct{ Pkg string }
}

// rules are those of depguard.
func rules(t *testing.T) map[string]rule {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct{ Rules map[string]rule }
			}
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	found := config.Linters.Settings.Depguard.Rules
	if len(found) < 5 {
		t.Fatalf("only %d rules were found", len(found))
	}
	return found
}

// goFiles are the Go files of the module, as /path/from/its/root.go.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root {
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if err == nil || strings.HasPrefix(entry.Name(), ".") {
				return filepath.SkipDir
			}
		}
		if strings.HasSuffix(path, ".go") {
			files = append(files, strings.TrimPrefix(filepath.ToSlash(path), root))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// matcher reads a glob as depguard does: ** crosses directories and * does not, and
// a slash is always required, so that a/**/*.go does not match a/b.go.
func matcher(glob string) *regexp.Regexp {
	text := regexp.QuoteMeta(strings.TrimPrefix(glob, "${base-path}"))
	text = strings.ReplaceAll(text, `\*\*`, `.*`)
	text = strings.ReplaceAll(text, `\*`, `[^/]*`)
	return regexp.MustCompile("^" + text + "$")
}

func TestEveryGlobMatchesAFile(t *testing.T) {
	files := goFiles(t)
	for name, r := range rules(t) {
		for _, glob := range r.Files {
			glob = strings.TrimPrefix(glob, "!")
			if strings.HasPrefix(glob, "$") && !strings.HasPrefix(glob, "${base-path}/") {
				continue // $all
			}
			if !slices.ContainsFunc(files, matcher(glob).MatchString) {
				t.Errorf("rule %s: no file matches %s", name, glob)
			}
		}
	}
}

func TestEveryPackageOfARuleExists(t *testing.T) {
	directories := map[string]bool{}
	for _, file := range goFiles(t) {
		for dir := filepath.Dir(file); !directories[dir]; dir = filepath.Dir(dir) {
			directories[dir] = true
		}
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range rules(t) {
		packages := slices.Clone(r.Allow)
		for _, d := range r.Deny {
			packages = append(packages, d.Pkg)
		}
		if len(packages) == 0 {
			t.Errorf("rule %s denies nothing", name)
		}
		for _, pkg := range packages {
			pkg = strings.TrimSuffix(pkg, "$")
			path, own := strings.CutPrefix(pkg, module)
			exists := own && directories["/"+strings.TrimPrefix(path, "/")] ||
				!own && (strings.Contains(string(mod), "\t"+pkg) || !strings.Contains(pkg, ".")) // the standard library
			if !exists {
				t.Errorf("rule %s: there is no package %s", name, pkg)
			}
		}
	}
}
