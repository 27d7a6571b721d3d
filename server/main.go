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
	"google.golang.org/api/option"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/notice"
)

// grammar is the whole command line.
type grammar struct {
	config.Settings

	Serve   serveCmd   `cmd:"" default:"withargs" help:"Serve /tasks/* over HTTP and, in local mode, run the tasks (the default command)."`
	Work    workCmd    `cmd:"" help:"Pull tasks from the database and run them."`
	Enqueue enqueueCmd `cmd:"" help:"Store one task and dispatch it; or many, from standard input."`
	Run     runCmd     `cmd:"" help:"Run one stored task now, in this process."`
	Result  resultCmd  `cmd:"" help:"Print one task's result."`
	Figures figuresCmd `cmd:"" help:"Print how tasks have ended, and how long they waited and ran."`
	Status  statusCmd  `cmd:"" help:"Print how many tasks are pending, running and so on."`
	Purge   purgeCmd   `cmd:"" help:"Delete finished tasks."`
	Requeue requeueCmd `cmd:"" help:"Recover RUNNING tasks whose lease has expired."`
	Sweep   sweepCmd   `cmd:"" help:"One pass of the sweeper: dispatch stranded tasks, reclaim those whose lease has expired."`
	Cancel  cancelCmd  `cmd:"" help:"Cancel one task that has not ended."`
	Delete  deleteCmd  `cmd:"" help:"Delete one task with all its data."`
	List    listCmd    `cmd:"" help:"List tasks, newest first."`
	Retry   retryCmd   `cmd:"" help:"Retry one FAILED task, or all that match."`
	Queues  queuesCmd  `cmd:"" help:"List the queues, pause one, resume it, or limit what runs of it."`
	Groups  groupsCmd  `cmd:"" help:"List the groups of tasks, show one, create it, close it, or cancel its tasks."`
	Limits  limitsCmd  `cmd:"" help:"List the limits on what runs and starts, set one, or remove it."`
	Audit   auditCmd   `cmd:"" help:"Print the audit log: who did what, when, on what, with what result."`
	Tasks   tasksCmd   `cmd:"" help:"List the registered tasks."`
	Keys    keysCmd    `cmd:"" help:"List the keys that encrypt tasks, or make one."`

	Schedules schedulesCmd `cmd:"" help:"List schedules, add and remove, pause and resume them, or run one now."`

	Migrate migrateCmd `cmd:"" help:"Bring the database's schema up to date, or show what that takes."`
	Doctor  doctorCmd  `cmd:"" help:"Check the settings, the database, the queues, the accounts and the URL, and print how to fix what is wrong."`

	Version    versionCmd    `cmd:"" help:"Print the version, the commit and the version of Go."`
	Help       helpCmd       `cmd:"" help:"Print the help of the program, or of one command."`
	Completion completionCmd `cmd:"" help:"Print a script that completes commands and flags in a shell."`

	PrintVersion kong.VersionFlag `name:"version" env:"-" help:"Print the version and end."`
}

// program is one call of a program: what its author gave, its settings, and where
// it writes.
type program struct {
	own     Config
	name    string
	known   *queue.Registry // the tasks; those of Setup once it was called
	notices *notice.Notices // nil: there are none
	opens   bool            // Open called, which changes nothing that is global

	config   *config.Config
	sources  *config.Sources
	blank    error             // settings of white space alone
	misspelt []config.Misspelt // variables that look like settings

	jobsOptions []option.ClientOption // of the client of Cloud Run

	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// usageError is a mistake in how the program was called: exit status 2, and nothing
// was started.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSilent ends a command with status 1 when its output has the reason already.
var errSilent = errors.New("")

// Main is the whole command line of a program with these tasks: it runs the command
// of os.Args under the name of os.Args[0], and ends the process with its exit status.
// Definitions that cannot be registered, because one is nil or two have the same
// name, end it with one line and status 2.
func Main(tasks ...queue.Definition) {
	os.Exit(Run(context.Background(), Config{Tasks: tasks}, os.Args[1:]))
}

// Run runs one command of a program, with the arguments after the program's name,
// and returns its exit status: 0, 1 when the command failed, 2 when it was called
// wrongly. It uses the standard streams and the signals of the process. serve and
// work end, as at SIGTERM, when ctx does.
func Run(ctx context.Context, cfg Config, args []string) int {
	if !cfg.IgnoreEnv {
		trimTelemetry()
	}
	return realMain(ctx, args, config.ParseEnvironment(os.Environ()), &program{
		own: cfg, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	})
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

// begin checks what the author of the program gave, and returns the environment
// that counts.
func (p *program) begin(process config.Environment) (env config.Environment, fields map[string]string, err error) {
	p.name = p.own.Name
	if p.name == "" && len(os.Args) > 0 {
		p.name = filepath.Base(os.Args[0])
	}
	if p.name == "" {
		p.name = "server"
	}
	if p.known, err = p.registryOf(false); err != nil {
		return nil, nil, err
	}
	if p.own.Concurrency < 0 {
		return nil, nil, usagef("Config.Concurrency must not be negative, as %d is: 0 is the default", p.own.Concurrency)
	}
	for i, l := range p.own.Limits {
		if err := l.Check(); err != nil {
			return nil, nil, usagef("Config.Limits[%d]: %v", i, err)
		}
	}
	return p.own.environment(process)
}

// findMisspelt finds the variables that look like settings, unless the program reads
// no variables of settings.
func (p *program) findMisspelt() {
	if !p.own.IgnoreEnv {
		p.misspelt = p.sources.Misspelt(p.own.OwnVariables...)
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

// realMain runs one command and returns the exit status.
func realMain(ctx context.Context, args []string, process config.Environment, p *program) int {
	env, fields, err := p.begin(process)
	if err != nil {
		p.say("%s", oneLine(err))
		return 2
	}
	var g grammar
	p.config = &config.Config{Settings: &g.Settings, Env: env, OwnRoutes: p.own.Handler != nil, AdminPrefix: p.own.AdminPrefix}
	p.sources = config.NewSources(args, env)
	p.sources.SetFields(fields)
	exited, status := false, 0
	parser, err := kong.New(&g, append(p.sources.Options(),
		kong.Name(p.name),
		kong.Description("Background tasks for serverless Go: rows in your database, tickets through Cloud Tasks."),
		kong.Vars{"version": p.versionText()},
		kong.PostBuild(p.nameInHelp),
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
	p.findMisspelt()
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
	return p.exit(err)
}

// exit prints the error of a command, and returns its exit status.
func (p *program) exit(err error) int {
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

// hint names what helps against an error of the database, and what sets the settings
// that any error names.
func (p *program) hint(err error) string {
	switch {
	case p.sources == nil: // the program's own Config is wrong
		return ""
	case errors.Is(err, queue.ErrSchema) && p.opens:
		return " (set Config.Migrate, or run the migrate command of a program that uses server.Main)"
	case errors.Is(err, queue.ErrSchema):
		return fmt.Sprintf(" (run: %s migrate)", p.name)
	}
	return p.sources.Attribution("", err.Error())
}

// noValue ends the parser's error about a flag that is the last word.
const noValue = `but got "EOL" (<EOL>)`

// reworded is an error of the parser in other words.
type reworded struct {
	text string
	error
}

func (r reworded) Error() string { return r.text }
func (r reworded) Unwrap() error { return r.error }

// explain calls an argument without a command an unknown command. The grammar takes
// it for an argument of the default command.
func explain(err error, commands []*kong.Node, args []string) error {
	if rest, found := strings.CutPrefix(err.Error(), "unknown flag -"); found && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		return fmt.Errorf("%w; put -- before arguments that begin with a dash", err)
	}
	if flag, _, found := strings.Cut(err.Error(), ": expected "); found && strings.HasPrefix(flag, "--") && strings.HasSuffix(err.Error(), noValue) {
		return reworded{flag + " needs a value", err}
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
