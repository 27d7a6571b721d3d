package server

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// completionScript writes the script of a shell for a program of a name that is no
// function's.
func completionScript(t *testing.T, shell string) string {
	t.Helper()
	c := newCLI(t)
	c.name = "my-tasks"
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(c.ok("completion", shell)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shell runs a real shell and returns the lines that it prints.
func shell(t *testing.T, name string, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Env = append(os.Environ(), "HOME="+t.TempDir(), "TERM=xterm")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v (tools/deps.sh installs it)\n%s", name, args, err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// completions are what the end of a line is completed to. A word that may be
// followed by others is one of several.
var completions = []struct {
	line string
	want []string
}{
	{"my-tasks re", []string{"requeue", "result", "retry"}},
	{"my-tasks canc", []string{"cancel"}},
	{"my-tasks --lis", []string{"--listen"}},
	{"my-tasks work --contin", []string{"--continuous"}},
	{"my-tasks work --database-u", []string{"--database-url"}},
	{"my-tasks migrate st", []string{"status"}},
	{"my-tasks completion z", []string{"zsh"}},
	{"my-tasks help sw", []string{"sweep"}},
	{"my-tasks --tasks-mode cl", []string{"cloudtasks"}},
	{"my-tasks --log-level debug enq", []string{"enqueue"}},
}

func TestBashCompletes(t *testing.T) {
	script := completionScript(t, "bash")
	shell(t, "bash", "-n", script)
	for _, c := range completions {
		got := shell(t, "bash", "--norc", "-c", `source "$1"; COMP_WORDS=($2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
			$(complete -p my-tasks | sed 's/.* -F \([^ ]*\) .*/\1/'); printf '%s\n' "${COMPREPLY[@]}"`, "bash", script, c.line)
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.line, got, c.want)
		}
	}
	// bash makes three words of --flag=value.
	if got := shell(t, "bash", "--norc", "-c", `source "$1"; COMP_WORDS=(my-tasks --log-format = j); COMP_CWORD=3; _my_tasks; echo "${COMPREPLY[@]}"`, "bash", script); got[0] != "json" {
		t.Errorf("%q", got)
	}
}

func TestFishCompletes(t *testing.T) {
	script := completionScript(t, "fish")
	shell(t, "fish", "-n", script)
	for _, c := range completions {
		var got []string
		for _, line := range shell(t, "fish", "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, script, c.line) {
			word, _, _ := strings.Cut(line, "\t")
			got = append(got, word)
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.line, got, c.want)
		}
	}
}

// zsh completes only at a terminal: the shell types into another one and waits for
// what that completes.
const zshTypes = `zmodload zsh/zpty
zpty -b other zsh -f -i
zpty -w other "PS1='> '; autoload -U compinit; compinit -D -u; source $1; setopt noautomenu noalwayslastprompt; print READ''Y"
zpty -r other out '*READY*'
zpty -w -n other "$2"$'\t\t'
zpty -r other out "*$3*"
print -r -- completed
zpty -d other`

func TestZshCompletes(t *testing.T) {
	script := completionScript(t, "zsh")
	shell(t, "zsh", "-n", script)
	for _, c := range completions {
		if got := shell(t, "zsh", "-f", "-c", zshTypes, "zsh", script, c.line, strings.Join(c.want, "*")); !slices.Contains(got, "completed") {
			t.Errorf("%s: %q", c.line, got)
		}
	}
}
