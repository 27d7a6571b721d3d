// Package examples_test checks that the pages' programs do what the pages say.
package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// goBlocks returns the blocks of Go code of a page.
func goBlocks(t *testing.T, page string) []string {
	t.Helper()
	var blocks []string
	for _, match := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, page), -1) {
		blocks = append(blocks, match[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no Go code", page)
	}
	return blocks
}

// The README's program, in a folder of its own outside the module, builds and
// answers as the page says. Its requirements are this module's: the test needs no
// network, as `go get` would.
func TestTheReadmesProgramRunsAsAModuleOfItsOwn(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := goBlocks(t, "../README.md")[0]
	if n := len(regexp.MustCompile(`(?m)^.*\S.*$`).FindAllString(program, -1)); n > 12 {
		t.Errorf("%d lines of code; the page promises a short program", n)
	}
	if goBlocks(t, "../docs/your-own-program.md")[0] != program {
		t.Error("docs/your-own-program.md begins with another program than the README")
	}
	module := strings.Replace(read(t, "../go.mod"), "module github.com/claimcheck-go/claimcheck", "module hello", 1)
	module += "\nrequire github.com/claimcheck-go/claimcheck v0.0.0\n\nreplace github.com/claimcheck-go/claimcheck => " + root + "\n"
	for name, text := range map[string]string{"main.go": program, "go.mod": module, "go.sum": read(t, "../go.sum")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", "hello", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := exec.CommandContext(t.Context(), "./hello", "enqueue", "greet", `"world"`, "--wait")
	run.Dir, run.Env = dir, []string{"HOME=" + dir}
	out, err := run.Output()
	if err != nil || !strings.Contains(string(out), `returned  "Hello, world!"`) {
		t.Errorf("%v: %s", err, out)
	}
}

// Every block of docs/your-own-program.md after the first is in one of the examples,
// which are built and run. A line with only … leaves some of the example out.
func TestTheBlocksOfYourOwnProgramAreThoseOfTheExamples(t *testing.T) {
	files, err := filepath.Glob("*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, file := range files {
		code.WriteString(strings.Join(strings.Fields(read(t, file)), " ") + " ")
	}
	for _, block := range goBlocks(t, "../docs/your-own-program.md")[1:] {
		for _, part := range regexp.MustCompile(`(?m)^\s*…$`).Split(block, -1) {
			if !strings.Contains(code.String(), strings.Join(strings.Fields(part), " ")) {
				t.Errorf("no example has\n%s", part)
			}
		}
	}
}
