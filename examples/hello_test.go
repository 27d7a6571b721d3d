package examples_test

import (
	"os/exec"
	"strings"
	"testing"
)

func TestTheFirstProgramOfTheTasksPageIsTheExampleInThirtyLines(t *testing.T) {
	shown := goBlocks(t, "../docs/tasks.md")[0]
	_, body, _ := strings.Cut(read(t, "hello/main.go"), "\n") // less its comment
	if shown != body {
		t.Errorf("docs/tasks.md shows another program than main.go:\n%s", shown)
	}
	if n := strings.Count(shown, "\n"); n > 30 {
		t.Errorf("%d lines; the page promises 30", n)
	}
}

func TestHello(t *testing.T) {
	program := outside(t, "hello")
	dir := t.TempDir()
	for range 2 { // the database is kept; a second run finds it
		run := exec.CommandContext(t.Context(), program)
		run.Dir = dir
		out, err := run.Output()
		if err != nil || string(out) != "Hello, world!\n" {
			t.Errorf("%v: %q", err, out)
		}
	}
}
