// Package gcloudfake stands in for gcloud where the tests of the deployment
// scripts run it: it keeps the state of a project in a file and refuses every
// command, flag and positional argument that the real gcloud refuses.
//
// What gcloud accepts is recorded in grammar.json. `make gcloud-record` renews the
// record from the gcloud that is installed, and the tests compare the two.
package gcloudfake

import (
	_ "embed" // for grammar.json
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:embed grammar.json
var recorded []byte

// Arities of a flag: whether it has a value.
const (
	ArityNone     = "none"
	ArityOptional = "optional"
	ArityValue    = "value"
)

// Grammar is what a version of gcloud accepts, as far as this repository uses it.
type Grammar struct {
	Version  string             `json:"version"`
	Global   map[string]string  `json:"global"` // arity of each flag that all commands have
	Commands map[string]Command `json:"commands"`
}

// Command is what a command accepts beyond the global flags.
type Command struct {
	Flags       map[string]string `json:"flags"`
	Positionals [2]int            `json:"positionals"` // least and most; most is -1 without a limit
}

// Recorded returns the recorded grammar.
func Recorded() (Grammar, error) {
	var g Grammar
	err := json.Unmarshal(recorded, &g)
	return g, err
}

// Call is a command line, taken apart.
type Call struct {
	Command     string // such as "tasks queues create"
	Flags       map[string]string
	Positionals []string
}

// ErrIncomplete is the error of a command line that lacks positional arguments or a flag's value.
var ErrIncomplete = errors.New("incomplete")

// Parse takes the arguments of gcloud apart. It returns an error for a command, a
// flag or a positional argument that the grammar lacks. Unlike gcloud it requires no
// flag.
func (g Grammar) Parse(args []string) (Call, error) {
	name, words := g.command(args)
	if name == "" {
		return Call{}, fmt.Errorf("there is no command %q in the record of gcloud %s (if gcloud has it: make gcloud-record)", strings.Join(args, " "), g.Version)
	}
	command := g.Commands[name]
	call := Call{Command: name, Flags: map[string]string{}}
	rest := args[words:]
	for i := 0; i < len(rest); i++ {
		if !strings.HasPrefix(rest[i], "--") || rest[i] == "--" {
			call.Positionals = append(call.Positionals, rest[i])
			continue
		}
		flag, value, hasValue := strings.Cut(rest[i], "=")
		arity, known := command.Flags[flag]
		if !known {
			arity, known = g.Global[flag]
		}
		switch {
		case !known:
			return Call{}, fmt.Errorf("(gcloud.%s) unrecognized arguments: %s", strings.ReplaceAll(name, " ", "."), rest[i])
		case arity == ArityNone && hasValue:
			return Call{}, fmt.Errorf("(gcloud.%s) argument %s: ignored explicit argument '%s'", strings.ReplaceAll(name, " ", "."), flag, value)
		case arity == ArityValue && !hasValue:
			if i++; i == len(rest) {
				return Call{}, fmt.Errorf("(gcloud.%s) %w: argument %s: expected one argument", strings.ReplaceAll(name, " ", "."), ErrIncomplete, flag)
			}
			value = rest[i]
		}
		call.Flags[flag] = value
	}
	switch n := len(call.Positionals); {
	case command.Positionals[1] >= 0 && n > command.Positionals[1]:
		return call, fmt.Errorf("(gcloud.%s) unrecognized arguments: %q", strings.ReplaceAll(name, " ", "."), call.Positionals[command.Positionals[1]:])
	case n < command.Positionals[0]:
		return call, fmt.Errorf("(gcloud.%s) %w: it has %d positional arguments of %d", strings.ReplaceAll(name, " ", "."), ErrIncomplete, n, command.Positionals[0])
	}
	return call, nil
}

// command returns the longest command that args begin with, and its length.
func (g Grammar) command(args []string) (name string, words int) {
	for n := 1; n <= len(args) && !strings.HasPrefix(args[n-1], "-"); n++ {
		candidate := strings.Join(args[:n], " ")
		if _, ok := g.Commands[candidate]; ok {
			name, words = candidate, n
		}
	}
	return name, words
}

// Format returns the grammar as grammar.json has it: a line for each command.
func (g Grammar) Format() []byte {
	var text strings.Builder
	line := func(value any) string {
		encoded, err := json.Marshal(value)
		if err != nil {
			panic(err) // strings and numbers
		}
		return string(encoded)
	}
	fmt.Fprintf(&text, "{\n\"version\": %s,\n\"global\": %s,\n\"commands\": {\n", line(g.Version), line(g.Global))
	for i, name := range slices.Sorted(maps.Keys(g.Commands)) {
		if i > 0 {
			text.WriteString(",\n")
		}
		fmt.Fprintf(&text, "%s: %s", line(name), line(g.Commands[name]))
	}
	text.WriteString("\n}\n}\n")
	return []byte(text.String())
}
