package server

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help shows where each shell looks for its script.
func (*completionCmd) Help() string {
	return `The script knows the commands, flags and values of this version, and starts nothing.

Examples:
  source <({name} completion bash)
  {name} completion bash > ~/.local/share/bash-completion/completions/{name}
  {name} completion zsh > "${fpath[1]}/_{name}"
  {name} completion fish > ~/.config/fish/completions/{name}.fish`
}

// The scripts are templates over the grammar. No library for kong makes scripts for
// these three shells without running the program at every key.
//
//go:embed completion/bash completion/zsh completion/fish
var completionTemplates embed.FS

// Run prints the script.
func (c *completionCmd) Run(ctx *kong.Context, p *program) error {
	return writeCompletion(p, c.Shell, ctx.Model)
}

func writeCompletion(p *program, shell string, model *kong.Application) error {
	script, err := template.New(shell).Funcs(template.FuncMap{
		"join": strings.Join, "quote": quoteShell, "zsh": zshText, "colons": func(s string) string { return strings.ReplaceAll(s, ":", `\:`) },
	}).ParseFS(completionTemplates, "completion/"+shell)
	if err != nil {
		return fmt.Errorf("completion: %w", err)
	}
	return script.Execute(p.stdout, completionOf(model))
}

// completion is what a script knows of the command line.
type completion struct {
	Name     string
	Function string
	Settings []completionFlag // of all commands
	Commands []completionCommand
	Default  completionCommand // one of the commands
}

type completionCommand struct {
	Name, Help string
	Flags      []completionFlag
	Values     []string // of the first argument
}

type completionFlag struct {
	Name, Help string
	Takes      string   // what the value is; empty: the flag takes none
	Values     []string // of which it is one
}

var notInFunction = regexp.MustCompile(`[^A-Za-z0-9_]`)

func completionOf(model *kong.Application) completion {
	c := completion{
		Name: model.Name, Function: "_" + notInFunction.ReplaceAllString(model.Name, "_"),
		Settings: completionFlags(model.Flags),
	}
	for _, node := range model.Children {
		command := completionCommand{Name: node.Name, Help: firstSentence(node.Help), Flags: completionFlags(node.Flags)}
		if len(node.Positional) > 0 {
			command.Values = node.Positional[0].EnumSlice()
		}
		c.Commands = append(c.Commands, command)
	}
	for i, node := range model.Children {
		if node == model.DefaultCmd {
			c.Default = c.Commands[i]
		}
		if node.Name == "help" {
			c.Commands[i].Values = slices.DeleteFunc(c.Names(), func(name string) bool { return name == node.Name })
		}
	}
	return c
}

// Names are those of the commands.
func (c completion) Names() []string {
	names := make([]string, len(c.Commands))
	for i, command := range c.Commands {
		names[i] = command.Name
	}
	return names
}

// Valued are the flags that take a value, each once. A flag has the same values in
// all commands.
func (c completion) Valued() []completionFlag {
	var valued []completionFlag
	seen := map[string]bool{}
	add := func(flags []completionFlag) {
		for _, flag := range flags {
			if flag.Takes != "" && !seen[flag.Name] {
				seen[flag.Name] = true
				valued = append(valued, flag)
			}
		}
	}
	add(c.Settings)
	for _, command := range c.Commands {
		add(command.Flags)
	}
	return valued
}

// FlagNames are the names of the command's flags, as they are written.
func (c completionCommand) FlagNames() []string { return flagNames(c.Flags) }

// SettingNames are those of the settings.
func (c completion) SettingNames() []string { return flagNames(c.Settings) }

func flagNames(flags []completionFlag) []string {
	names := make([]string, len(flags))
	for i, flag := range flags {
		names[i] = "--" + flag.Name
	}
	return names
}

func completionFlags(flags []*kong.Flag) []completionFlag {
	list := make([]completionFlag, len(flags))
	for i, flag := range flags {
		list[i] = completionFlag{Name: flag.Name, Help: firstSentence(flag.Help)}
		if !flag.IsBool() {
			list[i].Takes, list[i].Values = "value", flag.EnumSlice()
		}
	}
	return list
}

func firstSentence(text string) string {
	sentence, _, _ := strings.Cut(text, ". ")
	return strings.TrimSuffix(sentence, ".")
}

// quoteShell writes a text as one word in single quotes.
func quoteShell(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// zshText escapes what is special in a description of zsh's _arguments.
var zshText = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `:`, `\:`).Replace
