// Package mutate builds a program of this module with some of its source text replaced,
// without changing the source. Tests use it to show that they detect a missing guard, and
// to make a real program fail at a chosen point.
package mutate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Edit is one replacement in one file. Edits of the same file apply one after the other,
// each to the result of the previous one.
type Edit struct {
	File string // relative to the module's root
	Old  string // must occur exactly once, so that an edit fails when its code has changed
	New  string
}

// Build builds the package pkg, like "./cmd/server", into the file output, with
// the edits made and with further flags of go build. Paths are relative to the
// root of the module around the working directory. A test whose edits no longer fit
// the source, or do not compile, fails.
func Build(t testing.TB, pkg, output string, edits []Edit, flags ...string) {
	t.Helper()
	goCommand(t, append([]string{"build"}, flags...), pkg, output, edits)
}

// BuildTest builds the tests of the package pkg as Build builds a program.
func BuildTest(t testing.TB, pkg, output string, edits []Edit) {
	t.Helper()
	goCommand(t, []string{"test", "-c"}, pkg, output, edits)
}

func goCommand(t testing.TB, command []string, pkg, output string, edits []Edit) {
	t.Helper()
	root, err := moduleRoot()
	if err == nil {
		err = build(t.Context(), root, t.TempDir(), command, pkg, output, edits)
	}
	if err != nil {
		t.Fatalf("mutate: %v", err)
	}
}

// Check fails a test whose edits no longer fit the source. It builds nothing.
func Check(t testing.TB, edits []Edit) {
	t.Helper()
	root, err := moduleRoot()
	if err == nil {
		_, err = apply(root, edits)
	}
	if err != nil {
		t.Errorf("mutate: %v", err)
	}
}

// moduleRoot is the nearest directory with a go.mod, from the working directory
// upwards.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the working directory is in no module")
		}
		dir = parent
	}
}

// build runs a command of go that builds pkg. It writes the edited files and their overlay
// into temp.
func build(ctx context.Context, root, temp string, do []string, pkg, output string, edits []Edit) error {
	texts, err := apply(root, edits)
	if err != nil {
		return err
	}
	replace := make(map[string]string, len(texts))
	for file, text := range texts {
		edited := filepath.Join(temp, fmt.Sprintf("%d-%s", len(replace), filepath.Base(file)))
		if err := os.WriteFile(edited, []byte(text), 0o600); err != nil {
			return err
		}
		replace[filepath.Join(root, file)] = edited
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	overlayFile := filepath.Join(temp, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return err
	}
	args := append(slices.Clone(do), "-overlay", overlayFile, "-o", output, pkg)
	command := exec.CommandContext(ctx, "go", args...) //nolint:gosec // a test chose the arguments
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s %s: %w\n%s", do[0], pkg, err, out)
	}
	return nil
}

// apply returns the edited files' texts by their paths.
func apply(root string, edits []Edit) (map[string]string, error) {
	texts := make(map[string]string)
	for _, edit := range edits {
		file := filepath.Clean(edit.File)
		text, read := texts[file]
		if !read {
			source, err := os.ReadFile(filepath.Join(root, file)) //nolint:gosec // a test chose the file
			if err != nil {
				return nil, err
			}
			text = string(source)
		}
		if n := strings.Count(text, edit.Old); n != 1 {
			return nil, fmt.Errorf("%s: the text to replace must occur once, but occurs %d times:\n%s", edit.File, n, edit.Old)
		}
		texts[file] = strings.Replace(text, edit.Old, edit.New, 1)
	}
	return texts, nil
}
