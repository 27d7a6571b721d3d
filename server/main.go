// Package server turns tasks into a program: it serves /tasks/* and /admin/, runs
// tasks directly where there is no Cloud Tasks, pulls them as a worker, and has the
// command line for all of that.
//
// The grammar of the command line and every setting are the structs in main.go
// and package config; each subcommand has a file, and wire.go turns settings into
// the parts they configure.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// grammar is the whole command line.
type grammar struct {
	config.Settings

	Serve   serveCmd   `cmd:"" default:"withargs" help:"Serve /tasks/* over HTTP and, in local mode, run the tasks (the default command)."`
	Work    workCmd    `cmd:"" help:"Pull tasks from the database and run them."`
	Enqueue enqueueCmd `cmd:"" help:"Store one task and send it on its way; or many, from standard input."`
	Run     runCmd     `cmd:"" help:"Run one stored task now, in this process."`
	Result  resultCmd  `cmd:"" help:"Print one task's result."`
	Status  statusCmd  `cmd:"" help:"Print how many tasks are pending, running and so on."`
	Purge   purgeCmd   `cmd:"" help:"Delete finished tasks."`
	Requeue requeueCmd `cmd:"" help:"Recover RUNNING tasks whose lease has expired."`
	Sweep   sweepCmd   `cmd:"" help:"One pass of the sweeper: dispatch stranded tasks, take back those whose lease has expired."`
	Cancel  cancelCmd  `cmd:"" help:"Cancel one task that has not ended."`
	List    listCmd    `cmd:"" help:"List tasks, newest first."`
	Retry   retryCmd   `cmd:"" help:"Retry one FAILED task, or all that match."`
	Tasks   tasksCmd   `cmd:"" help:"List the registered tasks."`
	Migrate migrateCmd `cmd:"" help:"Bring the database's schema up to date, or show what that takes."`
	Doctor  doctorCmd  `cmd:"" help:"Check the settings, the database, the queues, the accounts and the URL, and say how to mend what is wrong."`

	Version    versionCmd    `cmd:"" help:"Print the version, the commit and the version of Go."`
	Help       helpCmd       `cmd:"" help:"Print the help of the program, or of one command."`
	Completion completionCmd `cmd:"" help:"Print a script that completes commands and flags in a shell."`

	PrintVersion kong.VersionFlag `name:"version" env:"-" help:"Print the version and end."`
}

// program is what a command has of the world around it.
type program struct {
	name, version string             // of this program; an empty version is that of the build
	definitions   []queue.Definition // the tasks of this program

	config   *config.Config
	sources  *config.Sources
	blank    error             // settings of white space alone
	misspelt []config.Misspelt // variables that look like settings

	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// usageError is a mistake of whoever called the program: exit status 2, and
// nothing was started.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSilent ends a command with status 1 when all has been said already.
var errSilent = errors.New("")

// Main runs the whole command line with these tasks, and ends the process.
func Main(tasks ...queue.Definition) {
	trimTelemetry()
	os.Exit(realMain(context.Background(), os.Args[1:], config.ParseEnvironment(os.Environ()), &program{
		name: filepath.Base(os.Args[0]), definitions: tasks,
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}))
}

// trimTelemetry removes the white space around the values of OpenTelemetry's
// variables, which its SDK reads from the environment of the process.
func trimTelemetry() {
	for name, value := range config.ParseEnvironment(os.Environ()) {
		if trimmed := strings.TrimSpace(value); trimmed != value && strings.HasPrefix(name, "OTEL_") {
			_ = os.Setenv(name, trimmed)
		}
	}
}

// warnMisspelt prints a line for each, whatever LOG_LEVEL is.
func (p *program) warnMisspelt() {
	log := p.loggerFrom(slog.LevelWarn)
	for _, m := range p.misspelt {
		if p.config.LogsJSON() {
			log.Warn(m.String())
		} else {
			p.say("warning: %s", m)
		}
	}
}

// realMain runs one command and returns the exit status: 0, 1 when it failed,
// 2 when it was called wrongly.
func realMain(ctx context.Context, args []string, env config.Environment, p *program) int {
	var g grammar
	p.config = &config.Config{Settings: &g.Settings, Env: env}
	p.sources = config.NewSources(args, env)
	exited, status := false, 0
	if p.name == "" {
		p.name = "server"
	}
	parser, err := kong.New(&g, append(p.sources.Options(),
		kong.Name(p.name),
		kong.Description("Background tasks for serverless Go: rows in your database, tickets through Cloud Tasks."),
		kong.Vars{"version": p.versionText()},
		kong.PostBuild(nameInHelp),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { exited, status = true, code }),
	)...)
	if err != nil {
		panic(err) // the grammar itself is wrong
	}
	command, err := p.sources.Parse(parser)
	if exited { // --help or --version
		return status
	}
	p.misspelt = p.sources.Misspelt(ownVariables...)
	p.warnMisspelt()
	if err != nil {
		err = explain(err, parser.Model.Children, p.sources.Args())
		p.say("%s%s", p.sources.Describe(err), usageHint(p.name, err))
		return 2
	}
	ctx, stop := interruptible(ctx, command)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	p.blank = p.sources.CheckBlank(command)
	if err = p.blank; err == nil || command.Command() == "doctor" { // which lists what is wrong
		err = afterSignal(ctx, command.Run(p))
	}
	var usage usageError
	var problem config.Problem
	var exit exitStatus
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSilent):
		return 1
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage), errors.As(err, &problem):
		p.say("%s", p.sources.Describe(err))
		return 2
	default:
		p.say("%s%s", oneLine(err), p.hint(err))
		return 1
	}
}

// hint names the command that helps against an error of the database.
func (p *program) hint(err error) string {
	if errors.Is(err, queue.ErrSchema) {
		return fmt.Sprintf(" (run: %s migrate)", p.name)
	}
	return ""
}

// explain calls an argument without a command what it is: a command that does
// not exist. The grammar takes it for an argument of the default command.
func explain(err error, commands []*kong.Node, args []string) error {
	if rest, found := strings.CutPrefix(err.Error(), "unknown flag -"); found && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		return fmt.Errorf("%w; put -- before arguments that begin with a dash", err)
	}
	word, found := strings.CutPrefix(err.Error(), "unexpected argument ")
	if !found || word == "" {
		return err
	}
	if slices.ContainsFunc(commands, func(command *kong.Node) bool { return slices.Contains(args, command.Name) }) {
		return err
	}
	return unknownCommand(word, commands)
}

// unknownCommand names the command that a word begins like.
func unknownCommand(word string, commands []*kong.Node) error {
	near, most := "", 1
	for _, command := range commands {
		n := 0
		for n < min(len(word), len(command.Name)) && word[n] == command.Name[n] {
			n++
		}
		if n > most {
			near, most = command.Name, n
		}
	}
	if near == "" {
		return fmt.Errorf("unknown command %q", word)
	}
	return fmt.Errorf("unknown command %q, did you mean %q?", word, near)
}

// oneLine is the text of an error without line breaks.
func oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}
