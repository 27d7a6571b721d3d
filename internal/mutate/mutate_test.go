package mutate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const program = `package main

import "fmt"

func main() { fmt.Println("as written", "twice", "twice") }
`

// module makes a module with one program and goes into a directory of it.
func module(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	hello := filepath.Join(root, "cmd", "hello")
	if err := os.MkdirAll(hello, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(root, "go.mod"):   "module example.com/hello\n\ngo 1.26\n",
		filepath.Join(hello, "main.go"): program,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(hello)
	return root
}

func TestBuildReplacesTextAndLeavesTheSource(t *testing.T) {
	root, output := module(t), filepath.Join(t.TempDir(), "hello")
	Build(t, "./cmd/hello", output, []Edit{
		{File: "cmd/hello/main.go", Old: "as written", New: "edited"},
		{File: "./cmd/hello/main.go", Old: `"edited", "twice"`, New: `"edited again"`},
	}, "-trimpath")
	printed, err := exec.Command(output).Output()
	if err != nil || string(printed) != "edited again twice\n" {
		t.Errorf("the program prints %q, %v", printed, err)
	}
	if source, err := os.ReadFile(filepath.Join(root, "cmd", "hello", "main.go")); err != nil || string(source) != program {
		t.Errorf("the source is now %s, %v", source, err)
	}
}

func TestEditsThatDoNotFitAreRefused(t *testing.T) {
	root := module(t)
	for name, test := range map[string]struct {
		edits []Edit
		texts []string // of the error
	}{
		"missing text": {[]Edit{{"cmd/hello/main.go", "nowhere", ""}}, []string{"cmd/hello/main.go", "0 times", "nowhere"}},
		"twice":        {[]Edit{{"cmd/hello/main.go", `"twice"`, ""}}, []string{"cmd/hello/main.go", "2 times", `"twice"`}},
		"no such file": {[]Edit{{"cmd/hello/gone.go", "text", ""}}, []string{"gone.go"}},
		"edited away":  {[]Edit{{"cmd/hello/main.go", "as written", "edited"}, {"cmd/hello/main.go", "as written", ""}}, []string{"0 times"}},
		"no program":   {[]Edit{{"cmd/hello/main.go", "as written", `"`}}, []string{"go build ./cmd/hello", "main.go:5"}},
	} {
		t.Run(name, func(t *testing.T) {
			output := filepath.Join(t.TempDir(), "hello")
			err := build(t.Context(), root, t.TempDir(), []string{"build"}, "./cmd/hello", output, test.edits)
			if err == nil {
				t.Fatal("it was built")
			}
			for _, text := range test.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not contain %q", err, text)
				}
			}
			if _, err := os.Stat(output); err == nil {
				t.Error("there is a program")
			}
		})
	}
}

func TestModuleRootIsLookedForUpwards(t *testing.T) {
	root := module(t)
	if got, err := moduleRoot(); err != nil || got != root {
		t.Errorf("%q, %v; want %q", got, err, root)
	}
	t.Chdir(string(filepath.Separator))
	if got, err := moduleRoot(); err == nil {
		t.Errorf("found %q where there is none", got)
	}
}
