// Command simulate shows what a system can do: without flags the examples of
// docs/scaling.md, with flags one system that differs from the default in them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/sim"
)

// How much of what a system reached it is given when waits are looked at.
const (
	usual  = 0.7
	nearly = 0.95
)

func main() {
	err := command(os.Stdout, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(2)
	}
}

func command(w io.Writer, args []string) error {
	if len(args) == 0 {
		if err := examples(w, sim.Examples()); err != nil {
			return err
		}
		fmt.Fprintln(w)
		return timeline(w)
	}
	cfg, err := parse(args)
	if err != nil {
		return err
	}
	return one(w, cfg)
}

// parse reads one system. Its flags are the fields of sim.Config.
func parse(args []string) (sim.Config, error) {
	cfg := sim.Default()
	merged := false
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "seed of the random numbers: the same seed gives the same run")
	flags.Float64Var(&cfg.Rate, "rate", 0, "tasks enqueued a second; 0: as many as get done")
	flags.DurationVar(&cfg.WarmUp, "warm-up", cfg.WarmUp, "time that is not measured")
	flags.DurationVar(&cfg.Duration, "duration", cfg.Duration, "time that is measured")
	flags.IntVar(&cfg.Queues, "queues", cfg.Queues, "Cloud Tasks queues that share the tasks")
	flags.Float64Var(&cfg.QueueRate, "queue-rate", cfg.QueueRate, "max_dispatches_per_second of each")
	flags.IntVar(&cfg.QueueRunning, "queue-running", cfg.QueueRunning, "max_concurrent_dispatches of each")
	flags.BoolVar(&cfg.Ramp, "ramp", false, "the queues are new and are filled by the 500/50/5 rule")
	flags.DurationVar(&cfg.Create, "create", cfg.Create, "time to create a Cloud Task")
	flags.DurationVar(&cfg.Deliver, "deliver", cfg.Deliver, "time of a delivery and its answer on their way")
	flags.IntVar(&cfg.Instances, "instances", cfg.Instances, "instances at most")
	flags.IntVar(&cfg.Warm, "warm", cfg.Warm, "instances that run from the start; default: all")
	flags.DurationVar(&cfg.StartUp, "start-up", cfg.StartUp, "time until another instance runs")
	flags.IntVar(&cfg.Concurrency, "concurrency", cfg.Concurrency, "requests at once in one instance")
	flags.IntVar(&cfg.Conns, "conns", cfg.Conns, "DB_MAX_CONNS of each")
	flags.IntVar(&cfg.InstanceCPUs, "instance-cpus", cfg.InstanceCPUs, "vCPUs of each")
	flags.DurationVar(&cfg.HandlerCPU, "handler-cpu", cfg.HandlerCPU, "CPU of an instance for one task")
	flags.DurationVar(&cfg.Work, "work", cfg.Work, "mean time of the task's function")
	flags.TextVar(&cfg.WorkSpread, "work-spread", cfg.WorkSpread, "constant, exponential or heavy")
	flags.IntVar(&cfg.DBCPUs, "db-cpus", cfg.DBCPUs, "vCPUs of the database")
	flags.DurationVar(&cfg.InsertCPU, "insert-cpu", cfg.InsertCPU, "CPU of the database for an insert")
	flags.DurationVar(&cfg.ClaimCPU, "claim-cpu", cfg.ClaimCPU, "the same for a claim")
	flags.DurationVar(&cfg.FinishCPU, "finish-cpu", cfg.FinishCPU, "the same for a finish")
	flags.DurationVar(&cfg.OwnCPU, "own-cpu", 0, "the same for what the task asks the database")
	flags.TextVar(&cfg.CPUSpread, "cpu-spread", cfg.CPUSpread, "constant, exponential or heavy")
	flags.DurationVar(&cfg.RoundTrip, "round-trip", cfg.RoundTrip, "time between instance and database")
	flags.DurationVar(&cfg.Commit, "commit", cfg.Commit, "time until a commit is on the disk")
	flags.BoolVar(&merged, "merged", false, "CPU times of statements that go together; wins over the single ones")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if flags.NArg() > 0 {
		return cfg, fmt.Errorf("there are only flags, not %q", flags.Arg(0))
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !given["warm"] {
		cfg.Warm = cfg.Instances
	}
	if merged {
		cfg = cfg.Merged()
	}
	return cfg, nil
}

// one shows all of one system.
func one(w io.Writer, cfg sim.Config) error {
	result, err := sim.Run(cfg)
	if err != nil {
		return err
	}
	capacity := sim.Capacity(cfg)
	limit, most := sim.Least(capacity)
	fmt.Fprintf(w, "%.0f tasks/s; the formula says %.0f, for %s\n", result.PerSecond, most, limit)
	if cfg.Rate > 0 {
		fmt.Fprintf(w, "from the enqueue to the function: mean %s, p50 %s, p99 %s; %.1f tasks on their way\n",
			short(result.WaitMean), short(result.WaitP50), short(result.WaitP99), result.Inside)
	}
	if result.Bottleneck != "" {
		fmt.Fprintf(w, "the bottleneck is %s\n", result.Bottleneck)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "resource\tused\twould let through of itself")
	for _, resource := range sim.Resources {
		fmt.Fprintf(table, "%s\t%.0f %%\t%.0f/s\n", resource, 100*result.Utilisation[resource], capacity[resource])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	cost := sim.PerMillion(cfg, result, sim.ListPrices())
	_, err = fmt.Fprintf(w, "a million tasks cost $%.2f: Cloud Tasks %.2f, Cloud Run %.2f, database %.2f\n", cost.Sum(), cost.Tasks, cost.Run, cost.Database)
	return err
}

// examples shows each system at its limit, and below it.
func examples(w io.Writer, all []sim.Example) error {
	fmt.Fprintf(w, "| system | formula, tasks/s | simulated | limit | wait at %.0f %%: p50 | p99 | at %.0f %%: p99 | slots used at %.0f %% | database CPU | $ a million |\n|---|---|---|---|---|---|---|---|---|---|\n",
		100*usual, 100*nearly, 100*usual)
	for _, example := range all {
		_, most := sim.Least(sim.Capacity(example.Config))
		full, err := sim.Run(example.Config)
		if err != nil {
			return fmt.Errorf("%s: %w", example.Name, err)
		}
		cfg := example.Config
		cfg.Rate = nearly * full.PerSecond
		near, err1 := sim.Run(cfg)
		cfg.Rate = usual * full.PerSecond
		part, err2 := sim.Run(cfg)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%s: %w", example.Name, err)
		}
		_, err = fmt.Fprintf(w, "| %s | %.0f | %.0f | %s | %s | %s | %s | %.0f %% | %.0f %% | %.2f |\n", example.Name, most, full.PerSecond, full.Bottleneck,
			short(part.WaitP50), short(part.WaitP99), short(near.WaitP99), 100*part.Utilisation[sim.Slots], 100*part.Utilisation[sim.DatabaseCPU],
			sim.PerMillion(cfg, part, sim.ListPrices()).Sum())
		if err != nil {
			return err
		}
	}
	return nil
}

// timeline shows how new queues may be filled.
func timeline(w io.Writer) error {
	fmt.Fprintln(w, "| minutes after the first task | tasks/s at most | shards that takes |\n|---|---|---|")
	for minutes := 0; minutes <= 60; minutes += 5 {
		rate := sim.RampRate(time.Duration(minutes) * time.Minute)
		if _, err := fmt.Fprintf(w, "| %d | %.0f | %.0f |\n", minutes, rate, math.Ceil(rate/sim.Default().QueueRate)); err != nil {
			return err
		}
	}
	return nil
}

// short is a time as people read it.
func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
