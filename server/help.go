package server

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/claimcheck-go/claimcheck/queue"
)

type helpCmd struct {
	Command string `arg:"" optional:"" help:"The command. Default: the whole program."`
}

// Run prints what COMMAND --help does.
func (c *helpCmd) Run(ctx *kong.Context) error {
	args := []string{"--help"}
	if c.Command != "" {
		if nodeNamed(ctx.Model.Node, c.Command) == nil {
			err := unknownCommand(c.Command, ctx.Model.Children)
			return usagef("%w%s", err, usageHint(ctx.Model.Name, err))
		}
		args = []string{c.Command, "--help"}
	}
	_, _ = ctx.Parse(args) // prints the help; the error is that arguments are missing
	return nil
}

func nodeNamed(root *kong.Node, name string) *kong.Node {
	for _, node := range root.Children {
		if node.Name == name {
			return node
		}
	}
	return nil
}

// What stands for names of the program in the commands' help.
const (
	namePlaceholder = "{name}" // its own
	taskPlaceholder = "{task}" // one of its tasks
)

// nameInHelp puts the program's own names into the help of all commands.
func (p *program) nameInHelp(k *kong.Kong) error {
	names := strings.NewReplacer(namePlaceholder, k.Model.Name, taskPlaceholder, p.exampleTask())
	for _, node := range k.Model.Children {
		node.Help, node.Detail = names.Replace(node.Help), names.Replace(node.Detail)
	}
	return nil
}

// exampleTask returns the name of the program's first task, for examples.
func (p *program) exampleTask() string {
	for _, definition := range p.own.Tasks {
		if tasks := queue.NewRegistry(definition).Tasks(); len(tasks) > 0 {
			return tasks[0].Name
		}
	}
	return "NAME"
}

// printHelp prints the help of the program, with the settings that all commands
// share and the flags of the default command; or that of one command, with its own
// flags alone.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	root := ctx.Model.Node
	selected := ctx.Selected()
	if selected == nil {
		group := &kong.Group{Key: "default", Title: "Flags of " + root.DefaultCmd.Name + ", the default command:"}
		for _, flag := range root.DefaultCmd.Flags {
			shown := *flag
			shown.Group = group
			root.Flags = append(root.Flags, &shown)
		}
		return kong.DefaultHelpPrinter(options, ctx)
	}
	for _, flag := range root.Flags {
		flag.Hidden = flag.Hidden || flag.Name != "help"
	}
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintf(ctx.Stdout, "\n%s --help lists the settings, which are flags and variables of every command.\n", ctx.Model.Name)
	return err
}

// usageHint is what a mistake on the command line is followed by: the command's
// usage where an argument is missing, else where its flags are listed.
func usageHint(name string, err error) string {
	if strings.HasPrefix(err.Error(), "unknown command ") {
		return fmt.Sprintf(" (%s --help lists the commands)", name)
	}
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil && node != parse.Context.Model.DefaultCmd {
			if isMissing(err) {
				return fmt.Sprintf("; usage: %s %s", name, node.Summary())
			}
			return fmt.Sprintf(" (%s %s --help shows its flags)", name, node.Name)
		}
	}
	return fmt.Sprintf(" (%s --help lists all settings)", name)
}

// isMissing reports whether the parser misses an argument or a required flag.
func isMissing(err error) bool {
	return strings.HasPrefix(err.Error(), `expected "<`) || strings.HasPrefix(err.Error(), "missing flags:")
}

// say writes a line of the program's own on standard error.
func (p *program) say(format string, args ...any) {
	_, _ = io.WriteString(p.stderr, p.name+": "+fmt.Sprintf(format, args...)+"\n")
}
