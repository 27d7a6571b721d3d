package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/report"
	"github.com/claimcheck-go/claimcheck/bench/internal/scenario"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// Plan is what to measure.
type Plan struct {
	Scenarios []string // empty: all
	Short     bool     // then without the long ones
	Systems   []string // empty: all
	Runs      int
	Size      scenario.Size
	Dir       string // where the servers keep their data; empty: the default for temporary files
	Profiles  string // a directory for CPU profiles of the last runs; empty: none
	Command   string // by which it is run
	Log       io.Writer
}

// Run carries it out, and says what the results depend on. Results come also with
// an error, which then says what was left out.
func (p Plan) Run(ctx context.Context) ([]report.Result, report.Machine, error) {
	scenarios, err := p.scenarios()
	if err != nil {
		return nil, report.Machine{}, err
	}
	if err := p.checkSystems(); err != nil {
		return nil, report.Machine{}, err
	}
	servers, err := p.startServers(ctx, scenarios)
	if err != nil {
		return nil, report.Machine{}, err
	}
	defer servers.stop()
	began := time.Now()
	machine := p.machine(ctx, servers)
	machine.LeftOut = servers.leftOut
	fmt.Fprintln(p.Log, machine)
	var all report.Collected
	var failures error
	for _, sc := range scenarios {
		began := time.Now()
		err := p.measure(ctx, servers, sc, &all)
		fmt.Fprintf(p.Log, "%s took %s\n", sc.Name, time.Since(began).Round(time.Second))
		failures = errors.Join(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	machine.Took = time.Since(began).Round(time.Second).String()
	return all.Results(), machine, failures
}

// measure runs one scenario: all systems in turn, and that again for each run,
// each time beginning with another, so that what happens to the machine
// meanwhile happens to all of them.
func (p Plan) measure(ctx context.Context, servers *servers, sc scenario.Scenario, all *report.Collected) error {
	var failures error
	var ready []*site
	for _, name := range servers.installed(p, sc) {
		began := time.Now()
		site, err := servers.site(sc, name, p.Size)
		if err == nil {
			defer site.remove(context.WithoutCancel(ctx))
			err = site.prepare(ctx)
		}
		if ctx.Err() != nil {
			return errors.Join(failures, ctx.Err())
		}
		if err != nil {
			failures = errors.Join(failures, err)
			continue
		}
		ready = append(ready, site)
		fmt.Fprintf(p.Log, "  %s, %s, prepared in %s\n", sc.Name, site.System, time.Since(began).Round(100*time.Millisecond))
	}
	for run := range p.Runs {
		for i := range ready {
			site := ready[(run+i)%len(ready)]
			profile := ""
			if p.Profiles != "" {
				profile = filepath.Join(p.Profiles, sc.Name+"-"+site.System+".pprof")
			}
			f, err := site.measure(ctx, profile)
			if ctx.Err() != nil {
				return errors.Join(failures, ctx.Err())
			}
			if err != nil {
				failures = errors.Join(failures, err)
				fmt.Fprintf(p.Log, "  %s, %s, run %d: FAILED\n", sc.Name, site.System, run+1)
				continue
			}
			all.Add(sc.Name, site.System, f)
			what := report.Metrics[slices.IndexFunc(report.Metrics, func(metric string) bool { _, ok := f[metric]; return ok })]
			fmt.Fprintf(p.Log, "  %s, %s, run %d: %s %s\n", sc.Name, site.System, run+1, report.Number(f[what]), what)
		}
	}
	return failures
}

// scenarios are those of the plan.
func (p Plan) scenarios() ([]scenario.Scenario, error) {
	var chosen []scenario.Scenario
	for _, name := range p.Scenarios {
		sc, err := scenario.Named(name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, sc)
	}
	if len(p.Scenarios) == 0 {
		chosen = slices.DeleteFunc(scenario.All(), func(sc scenario.Scenario) bool { return sc.Long && p.Short })
	}
	return chosen, nil
}

// checkSystems refuses names that no system has.
func (p Plan) checkSystems() error {
	for _, name := range p.Systems {
		if _, err := system.Named(name, ""); err != nil {
			return err
		}
	}
	return nil
}
