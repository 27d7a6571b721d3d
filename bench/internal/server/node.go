package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// InstallNode installs what the lock file in dir names, with `npm ci`, and returns
// the Node.js to run it with: the one that is installed on this machine if package
// wants no newer one, else the one that dir's package.json has as an optional
// dependency. An error says why the package cannot be run here.
func InstallNode(ctx context.Context, dir, pkg string) (node string, err error) {
	own, err1 := exec.LookPath("node")
	npm, err2 := exec.LookPath("npm")
	if err1 != nil || err2 != nil {
		return "", errors.New("node and npm are not both installed")
	}
	required, err := requiredNode(filepath.Join(dir, "package-lock.json"), pkg)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, own, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", own, err)
	}
	version := strings.TrimSpace(string(out))
	enough, err := atLeast(version, required)
	if err != nil {
		return "", err
	}
	args := []string{"ci", "--ignore-scripts", "--no-audit", "--no-fund"}
	if enough {
		args = append(args, "--omit=optional")
	}
	cmd := exec.CommandContext(ctx, npm, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if enough {
		return own, nil
	}
	locked, _ := filepath.Glob(filepath.Join(dir, "node_modules", "node-*", "bin", "node"))
	if len(locked) != 1 {
		return "", fmt.Errorf("%s requires Node.js %s or newer, this machine has %s, and there is none in the lock file for it", pkg, required, version)
	}
	return filepath.Abs(locked[0])
}

// requiredNode is the oldest version that a package of a lock file supports.
func requiredNode(lockFile, pkg string) (string, error) {
	text, err := os.ReadFile(lockFile)
	if err != nil {
		return "", err
	}
	var lock struct {
		Packages map[string]struct {
			Engines struct{ Node string }
		}
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return "", fmt.Errorf("%s: %w", lockFile, err)
	}
	node := lock.Packages["node_modules/"+pkg].Engines.Node
	version, ok := strings.CutPrefix(node, ">=")
	if !ok {
		return "", fmt.Errorf("%s: %s supports Node.js %q, which is not the oldest version", lockFile, pkg, node)
	}
	return version, nil
}

// atLeast compares versions like v22.18.0 and 22.18.0.
func atLeast(version, required string) (bool, error) {
	have, want := strings.Split(strings.TrimPrefix(version, "v"), "."), strings.Split(required, ".")
	for i := range min(len(have), len(want)) {
		h, err1 := strconv.Atoi(have[i])
		w, err2 := strconv.Atoi(want[i])
		if err := errors.Join(err1, err2); err != nil {
			return false, fmt.Errorf("compare the versions %s and %s: %w", version, required, err)
		}
		if h != w {
			return h > w, nil
		}
	}
	return true, nil
}

// NodeVersions are those of Node.js and of a package that InstallNode has installed.
func NodeVersions(ctx context.Context, node, dir, pkg string) ([]string, error) {
	out, err := exec.CommandContext(ctx, node, "--version").Output()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "node_modules", pkg, "package.json"))
	if err != nil {
		return nil, err
	}
	var installed struct{ Version string }
	err = json.Unmarshal(text, &installed)
	return []string{"Node.js " + strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), pkg + " " + installed.Version}, err
}
