package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// scripts are the shell scripts for Google Cloud and for development.
func scripts(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"../deploy/*.sh", "../deploy/lib/*.sh", "../tools/*.sh"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			found = append(found, strings.TrimPrefix(file, "../"))
		}
	}
	if len(found) < 11 {
		t.Fatalf("%q", found)
	}
	return found
}

func TestShellcheckReportsNothing(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Fatal("shellcheck is not installed: run make deps")
	}
	if got := run(t, nil, "shellcheck", append([]string{"-x"}, scripts(t)...)...); got.status != 0 {
		t.Error(got.stdout)
	}
}

func TestScriptsStopAtTheFirstError(t *testing.T) {
	for _, script := range scripts(t) {
		if got := run(t, nil, "bash", "-n", script); got.status != 0 {
			t.Error(got.stderr)
		}
		text := read(t, script)
		if strings.HasPrefix(script, "deploy/lib/") {
			continue // these are part of others
		}
		info, err := os.Stat(filepath.Join("..", script))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(text, "#!/usr/bin/env bash\n") || !strings.Contains(text, "\nset -euo pipefail\n") || info.Mode()&0o111 == 0 {
			t.Errorf("%s: no first line, no set -euo pipefail, or it cannot be run", script)
		}
	}
}
