// Command bench measures claimcheck beside its peers and two yardsticks written
// by hand. It starts a PostgreSQL and, if that is installed, a Redis of its own,
// runs every scenario on all systems in turn, prints a table and what has become
// of the project's targets, and writes results.json.
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

	"github.com/claimcheck-go/claimcheck/bench/internal/report"
	"github.com/claimcheck-go/claimcheck/bench/internal/run"
	"github.com/claimcheck-go/claimcheck/bench/internal/scenario"
	"github.com/claimcheck-go/claimcheck/bench/internal/server"
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
		case run.ChildCommand:
			return run.Child()
		case scenario.LoadCommand:
			return scenario.Load()
		}
	}
	plan, out, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	results, failures := plan.Run(ctx)
	if len(results) == 0 {
		return failures
	}
	return errors.Join(failures, report.Table(os.Stdout, results), report.Judge(os.Stdout, results), report.Write(out, results))
}

func parse(args []string) (plan run.Plan, out string, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "fewer and shorter runs: 2 of 1 s")
	runs := flags.Int("runs", 3, "how often everything is measured")
	seconds := flags.Float64("seconds", 2, "how long scenarios last that run for a time")
	scale := flags.Float64("scale", 1, "factor for the number of tasks in all other scenarios")
	scenarios := flags.String("scenarios", "", "only these, separated by commas; finished-10m runs only if it is named")
	systems := flags.String("systems", "", "only these of "+strings.Join(system.Names(), ","))
	flags.StringVar(&plan.Dir, "dir", "", "where the servers keep their data; it must be on a disk, or fsync costs nothing")
	flags.StringVar(&plan.Profiles, "profiles", "", "a directory for CPU profiles of each scenario and system")
	flags.StringVar(&out, "out", "results.json", "file for the results")
	if err := flags.Parse(args); err != nil {
		return plan, "", err
	}
	if flags.NArg() > 0 || *runs < 1 || *seconds <= 0 || *scale <= 0 {
		return plan, "", errors.New("see -help: there are only flags, and their numbers are positive")
	}
	if *quick {
		*runs, *seconds = 2, 1
	}
	plan.Scenarios, plan.Systems = split(*scenarios), split(*systems)
	plan.Runs, plan.Size, plan.Log = *runs, scenario.Size{Seconds: *seconds, Scale: *scale}, os.Stderr
	return plan, out, nil
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
