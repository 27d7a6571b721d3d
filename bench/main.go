// Command bench measures claimcheck beside its peers and two yardsticks written
// by hand. It starts a PostgreSQL, a MariaDB and a Redis of its own, runs every
// scenario on all systems in turn, prints a table and the verdicts on the
// project's targets, and writes results.json. With -publish it makes the tables
// and charts of the documents from that file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/deps"
	"github.com/claimcheck-go/claimcheck/bench/internal/publish"
	"github.com/claimcheck-go/claimcheck/bench/internal/report"
	"github.com/claimcheck-go/claimcheck/bench/internal/run"
	"github.com/claimcheck-go/claimcheck/bench/internal/scenario"
	"github.com/claimcheck-go/claimcheck/bench/internal/server"
	"github.com/claimcheck-go/claimcheck/bench/internal/soak"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// command runs the benchmark, or one of the parts that it starts itself as.
func command(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case server.GuardCommand:
			return server.Guard(args[1:])
		case server.CloudTasksCommand:
			return server.ServeCloudTasks()
		case run.ChildCommand:
			return run.Child()
		case scenario.LoadCommand:
			return scenario.Load()
		case soak.Command:
			return soak.Part(args[1:])
		}
	}
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch {
	case o.publish:
		return publish.All(publish.Docs, publish.Sources{Results: fullResults, Dependencies: dependencies})
	case o.soak > 0:
		return soak.Run(ctx, os.Stdout, o.plan.Dir, o.soak)
	case o.dependencies:
		return deps.Run(ctx, os.Stdout, dependencies)
	}
	results, machine, failures := o.plan.Run(ctx)
	if len(results) == 0 {
		return failures
	}
	if failures != nil {
		machine.Warnings = append(machine.Warnings, "some measurements failed and are left out")
	}
	return errors.Join(failures, report.Table(os.Stdout, results), report.PrintVerdicts(os.Stdout, results),
		report.Write(o.out, results), report.WriteMachine(o.out, machine))
}

// The files that the documents are made from.
const (
	fullResults  = "results.json"
	dependencies = "dependencies.json"
)

// options are what the command line asks for.
type options struct {
	plan                  run.Plan
	out                   string
	publish, dependencies bool
	soak                  time.Duration
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "one short run of less than what scenarios' names say, and nothing of finished-10m")
	runs := flags.Int("runs", 3, "how often everything is measured")
	seconds := flags.Float64("seconds", 1, "how long scenarios last that run for a time")
	scale := flags.Float64("scale", 1, "factor for the number of tasks in all other scenarios")
	scenarios := flags.String("scenarios", "", "only these, separated by commas")
	systems := flags.String("systems", "", "only these of "+strings.Join(system.Names(), ","))
	flags.StringVar(&o.plan.Dir, "dir", "", "where the servers keep their data; it must be on a disk, or fsync costs nothing")
	flags.StringVar(&o.plan.Profiles, "profiles", "", "a directory for CPU profiles of each scenario and system")
	flags.StringVar(&o.out, "out", "", "file for the results (default results.json; results-part.json if not everything is measured in full)")
	flags.BoolVar(&o.publish, "publish", false, "measure nothing: write the tables and charts of the documents from "+fullResults)
	flags.BoolVar(&o.dependencies, "deps", false, "only print what each dependency adds to the server's start and size, and write "+dependencies)
	flags.DurationVar(&o.soak, "soak", 0, "instead run a producer and a worker at full speed for so long, and report whether memory is flat and no task is lost")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || *runs < 1 || *seconds <= 0 || *scale <= 0 {
		return o, errors.New("see -help: there are only flags, and their numbers are positive")
	}
	if *quick {
		*runs, *seconds, *scale = 1, 0.7, 0.3
	}
	if o.out == "" {
		o.out = fullResults
		if *runs < 3 || *seconds < 1 || *scale != 1 || *scenarios != "" || *systems != "" {
			o.out = "results-part.json"
		}
	}
	o.plan.Scenarios, o.plan.Systems, o.plan.Short = split(*scenarios), split(*systems), *quick
	o.plan.Runs, o.plan.Size, o.plan.Log = *runs, scenario.Size{Seconds: *seconds, Scale: *scale}, os.Stderr
	o.plan.Command = strings.Join(append([]string{"go run ."}, args...), " ")
	return o, nil
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
