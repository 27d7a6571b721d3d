package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// outside copies an example out of the repository, as a module of another team is,
// with a replace to this clone, and builds it there by its committed go.mod and go.sum
// alone. It returns the program.
func outside(t *testing.T, example string) (program string) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), example)
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	const replace = "replace github.com/claimcheck-go/claimcheck => "
	module := read(t, filepath.Join(dir, "go.mod"))
	if strings.Count(module, replace+"../..\n") != 1 {
		t.Fatalf("%s/go.mod does not replace this module by ../..", example)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(strings.Replace(module, replace+"../..", replace+root, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "bin", example)
	for _, args := range [][]string{{"vet", "./..."}, {"build", "-o", program, "."}} {
		build := exec.CommandContext(t.Context(), "go", args...)
		build.Dir, build.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "GOPROXY=off")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s\nafter a change of the module's requirements: cd examples/%s && go mod tidy", strings.Join(args, " "), err, out, example)
		}
	}
	return program
}
