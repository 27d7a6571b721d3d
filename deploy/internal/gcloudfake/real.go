package gcloudfake

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // for parser.py
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed parser.py
var parser string

// Real is an installed gcloud.
type Real struct {
	Version string // such as 528.0.0
	root    string
	python  []string // the interpreter and its flags
}

// FindReal finds the gcloud in PATH. It returns nil without an error where there is
// none.
func FindReal() (*Real, error) {
	path, err := exec.LookPath("gcloud")
	if err != nil {
		return nil, nil //nolint:nilerr // its absence is an answer
	}
	for _, root := range roots(path) {
		version, err := os.ReadFile(filepath.Join(root, "VERSION")) //nolint:gosec // the installation's own file
		if err != nil {
			continue
		}
		// As gcloud's own wrapper: site packages count in the bundled Python only.
		python := []string{filepath.Join(root, "platform/bundledpythonunix/bin/python3")}
		if _, err := os.Stat(python[0]); err != nil {
			found, err := exec.LookPath("python3")
			if err != nil {
				return nil, fmt.Errorf("gcloud is installed in %s, and no python3 to run its parser in", root)
			}
			python = []string{found, "-S"}
		}
		return &Real{Version: strings.TrimSpace(string(version)), root: root, python: python}, nil
	}
	return nil, fmt.Errorf("%s is installed, and its directory with the file VERSION is not found", path)
}

// roots are the directories where the SDK of a gcloud program may be.
func roots(path string) []string {
	found := []string{"/usr/lib/google-cloud-sdk", "/snap/google-cloud-cli/current"}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		found = append([]string{filepath.Dir(filepath.Dir(resolved))}, found...)
	}
	return found
}

// Answer is what gcloud's argument parser makes of a command line.
type Answer struct {
	Error       string            `json:"error"` // empty: it is accepted
	Command     string            `json:"command"`
	Flags       map[string]string `json:"flags"`
	Positionals [2]int            `json:"positionals"`
}

// Parse runs gcloud's argument parser on command lines. It executes none of them and
// uses no network. configDir is a directory for gcloud's own files.
func (r *Real) Parse(ctx context.Context, configDir string, lines [][]string) ([]Answer, error) {
	var input, stdout, stderr bytes.Buffer
	for _, args := range lines {
		encoded, err := json.Marshal(args)
		if err != nil {
			return nil, err
		}
		input.Write(append(encoded, '\n'))
	}
	script := filepath.Join(configDir, "parser.py")
	if err := os.WriteFile(script, []byte(parser), 0o600); err != nil { //nolint:gosec // the caller's directory
		return nil, err
	}
	cmd := exec.CommandContext(ctx, r.python[0], slices.Concat(r.python[1:], []string{script, r.root})...) //nolint:gosec // the installation's own Python
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + configDir, "CLOUDSDK_CONFIG=" + configDir, "CLOUDSDK_CORE_DISABLE_PROMPTS=1", "PYTHONDONTWRITEBYTECODE=1"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &input, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run gcloud's argument parser: %w\n%s", err, stderr.String())
	}
	var answers []Answer
	for scanner := bufio.NewScanner(&stdout); scanner.Scan(); {
		var answer Answer
		if err := json.Unmarshal(scanner.Bytes(), &answer); err != nil {
			return nil, fmt.Errorf("gcloud's argument parser: %w: %s", err, scanner.Text())
		}
		answers = append(answers, answer)
	}
	if len(answers) != len(lines) {
		return nil, fmt.Errorf("gcloud's argument parser: %d answers to %d command lines\n%s", len(answers), len(lines), stderr.String())
	}
	return answers, nil
}

// Grammar returns what the answers say about their commands.
func (r *Real) Grammar(answers []Answer) Grammar {
	g := Grammar{Version: r.Version, Global: map[string]string{}, Commands: map[string]Command{}}
	if len(answers) > 0 {
		maps.Copy(g.Global, answers[0].Flags)
	}
	maps.DeleteFunc(g.Global, func(flag, _ string) bool {
		return !isFlag(flag) || slices.ContainsFunc(answers, func(a Answer) bool { return a.Flags[flag] == "" })
	})
	for _, answer := range answers {
		command := Command{Flags: map[string]string{}, Positionals: answer.Positionals}
		for flag, arity := range answer.Flags {
			if g.Global[flag] == "" && isFlag(flag) {
				command.Flags[flag] = arity
			}
		}
		g.Commands[answer.Command] = command
	}
	return g
}

// isFlag excludes short flags and gcloud's internal ones.
func isFlag(name string) bool {
	return strings.HasPrefix(name, "--") && !strings.HasPrefix(name, "---")
}
