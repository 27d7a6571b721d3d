// Package deps says what each dependency costs the server: time and memory when
// it starts, and size of the program.
package deps

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/claimcheck-go/claimcheck/bench/internal/run"
)

// Cost is what one module costs.
type Cost struct {
	Module   string  `json:"module"`
	InitMS   float64 `json:"init_ms"`   // initialising its packages, each time the program starts
	InitKB   float64 `json:"init_kb"`   // memory that this allocates
	BinaryMB float64 `json:"binary_mb"` // code and data in the program
}

// Costs is all of it.
type Costs struct {
	BinaryMB float64 `json:"binary_mb"` // of the stripped program, with what belongs to no module
	Modules  []Cost  `json:"modules"`
}

// starts is how often the program is started; the median counts.
const starts = 9

// Run measures, prints a table and writes it to path.
func Run(ctx context.Context, w io.Writer, path string) error {
	dir, err := os.MkdirTemp("", "claimcheck-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	costs, err := measure(ctx, dir)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(costs, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(w, "The stripped program has %.1f MB.\n", costs.BinaryMB)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "init ms\tinit kB\tbinary MB\t  module")
	for _, c := range costs.Modules {
		fmt.Fprintf(table, "%.2f\t%.0f\t%.2f\t  %s\n", c.InitMS, c.InitKB, c.BinaryMB, c.Module)
	}
	return table.Flush()
}

func measure(ctx context.Context, dir string) (costs Costs, err error) {
	stripped, plain := filepath.Join(dir, "server"), filepath.Join(dir, "server-with-symbols")
	if err := run.Build(ctx, stripped, "-s -w"); err != nil {
		return costs, err
	}
	if err := run.Build(ctx, plain, ""); err != nil {
		return costs, err
	}
	info, err := os.Stat(stripped)
	if err != nil {
		return costs, err
	}
	costs.BinaryMB = mega(info.Size())
	build, err := exec.CommandContext(ctx, "go", "version", "-m", plain).Output()
	if err != nil {
		return costs, fmt.Errorf("go version -m: %w", err)
	}
	modules := newModules(string(build))
	symbols, err := readSymbols(plain)
	if err != nil {
		return costs, err
	}
	all := make(map[string]*Cost)
	at := func(module string) *Cost {
		if all[module] == nil {
			all[module] = &Cost{Module: module}
		}
		return all[module]
	}
	rest := costs.BinaryMB
	for module, size := range modules.sizes(symbols) {
		at(module).BinaryMB = mega(size)
		rest -= mega(size)
	}
	at(shared).BinaryMB = rest
	inits, err := trace(ctx, stripped)
	if err != nil {
		return costs, err
	}
	for _, i := range inits {
		c := at(modules.of(i.pkg + "."))
		c.InitMS += i.ms
		c.InitKB += i.kb
	}
	for _, c := range all {
		costs.Modules = append(costs.Modules, *c)
	}
	slices.SortFunc(costs.Modules, func(a, b Cost) int {
		return cmp.Or(cmp.Compare(b.InitMS, a.InitMS), cmp.Compare(b.BinaryMB, a.BinaryMB), cmp.Compare(a.Module, b.Module))
	})
	return costs, nil
}

func mega(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// initialised is what the runtime says of one package.
type initialised struct {
	pkg    string
	ms, kb float64
}

// trace starts a command of the program that opens nothing, again and again.
func trace(ctx context.Context, program string) ([]initialised, error) {
	times := make(map[string][]float64)
	kb := make(map[string]float64)
	for range starts {
		var traced strings.Builder
		cmd := exec.CommandContext(ctx, program, "tasks")
		cmd.Dir, cmd.Env, cmd.Stderr = filepath.Dir(program), []string{"GODEBUG=inittrace=1", "TASKS_MODE=local"}, &traced
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("server tasks: %w\n%s", err, traced.String())
		}
		for _, i := range parseTrace(traced.String()) {
			times[i.pkg] = append(times[i.pkg], i.ms)
			kb[i.pkg] = i.kb
		}
	}
	var all []initialised
	for pkg, ms := range times {
		slices.Sort(ms)
		all = append(all, initialised{pkg, ms[len(ms)/2], kb[pkg]})
	}
	return all, nil
}

// parseTrace reads lines such as
//
//	init internal/bytealg @0.008 ms, 0 ms clock, 0 bytes, 0 allocs
func parseTrace(text string) (all []initialised) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		var i initialised
		var begun float64
		var bytes int64
		n, _ := fmt.Sscanf(lines.Text(), "init %s @%f ms, %f ms clock, %d bytes", &i.pkg, &begun, &i.ms, &bytes)
		if n == 4 {
			i.kb = float64(bytes) / 1024
			all = append(all, i)
		}
	}
	return all
}
