package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheFirstProgramOfTheTasksPageIsThisOneInThirtyLines(t *testing.T) {
	page, err := os.ReadFile("../../docs/tasks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```go\n")
	shown, _, found := strings.Cut(rest, "```")
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(program), "\n") // less its comment
	if !found || shown != body {
		t.Errorf("docs/tasks.md shows another program than main.go:\n%s", shown)
	}
	if n := strings.Count(shown, "\n"); n > 30 {
		t.Errorf("%d lines; the page promises 30", n)
	}
}

func TestFirstTaskPrintsItsResult(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "hello")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range 2 { // the database is kept; a second run finds it
		run := exec.Command(program)
		run.Dir = dir
		out, err := run.Output()
		if err != nil || string(out) != "Hello, world!\n" {
			t.Errorf("%v: %q", err, out)
		}
	}
}
