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
// answers as the page says, by the commands of the page. They find the modules in
// the cache: the test needs no network.
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
	page := read(t, "../README.md")
	_, page, _ = strings.Cut(page, "## Your own tasks")
	steps := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, 2)
	if len(steps) < 2 || !strings.Contains(page, "Save the program above as `main.go`") {
		t.Fatalf("the page's commands before and after the program is saved: %q", steps)
	}
	// The last command serves.
	commands, serve, found := strings.Cut(steps[1][1], "\ngo run .  ")
	if !found || strings.Contains(serve, "\ngo ") {
		t.Fatalf("the last command is not `go run .`:\n%s", steps[1][1])
	}
	// The page's folders lie beside the clone, where a test must not write.
	places := strings.NewReplacer("../hello", dir, "$PWD", root, "mkdir ", "mkdir -p ")
	run := func(commands string) string {
		t.Helper()
		commands = places.Replace(commands)
		shell := exec.CommandContext(t.Context(), "sh", "-ec", commands)
		shell.Dir, shell.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off", "DATABASE_URL=")
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Fatalf("%v in\n%s\n%s", err, commands, out)
		}
		return string(out)
	}
	run(steps[0][1])
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(commands); !strings.Contains(out, `returned  "Hello, world!"`) {
		t.Error(out)
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
