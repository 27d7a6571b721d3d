// Package scenario has what is measured: each scenario fills a database once,
// and is then run on copies of it, every time in a process of its own.
package scenario

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
	"github.com/claimcheck-go/claimcheck/queue"
)

// Size says how long and how much.
type Size struct {
	Seconds float64 // of scenarios that run for a time
	Scale   float64 // of the counts of all others
}

// rows scales a count, to a hundred at the least.
func (s Size) rows(n int) int { return max(100, int(float64(n)*s.Scale)) }

func (s Size) duration() time.Duration { return time.Duration(s.Seconds * float64(time.Second)) }

// Scenario is one thing that is measured on several systems.
type Scenario struct {
	Name    string
	Systems []string
	Long    bool // left out of a quick run
	Slots   int  // tasks that run at once
	Info    bool // log what is no problem too
	// Prepare fills the database; nil leaves the tables empty.
	Prepare func(ctx context.Context, s system.Session, size Size) error
	// Measure runs on what was prepared.
	Measure func(ctx context.Context, s system.Session, m *probe.Meter, size Size) (probe.Figures, error)
}

var (
	everybody = []string{"claimcheck", "river", "asynq", "asynq-fsync", "dbos", "bare", "ideal"}
	workers   = []string{"claimcheck", "river", "river-bench", "asynq", "asynq-fsync", "dbos", "bare", "ideal"}
	postgres  = []string{"claimcheck", "river", "bare", "ideal"}
	pushers   = []string{"claimcheck", "bare", "ideal"}
	product   = []string{"claimcheck"}
)

// slots is `work --concurrency 100`.
const slots = 100

// All are the scenarios in the order in which they run.
func All() []Scenario {
	return []Scenario{
		{Name: "enqueue-1", Systems: everybody, Measure: enqueue(1)},
		{Name: "enqueue-16", Systems: everybody, Measure: enqueue(16)},
		{Name: "batch-1000", Systems: postgres, Measure: batches(1000)},
		{Name: "drain-50k", Systems: workers, Slots: slots, Prepare: pending(50_000), Measure: drain(50_000)},
		{Name: "drain-50k-info", Systems: product, Slots: slots, Info: true, Prepare: pending(50_000), Measure: drain(50_000)},
		pushed(1, 2_000),
		pushed(8, 10_000),
		pushed(64, 20_000),
		pushed(256, 25_000),
		{Name: "idle-start", Systems: []string{"claimcheck", "river", "asynq"}, Slots: queue.DefaultConcurrency, Measure: idle(system.Local, 50)},
		{Name: "idle-start-worker", Systems: []string{"claimcheck", "river", "asynq"}, Slots: queue.DefaultConcurrency, Measure: idle(system.Remote, 5)},
		{Name: "backlog-10k", Systems: []string{"claimcheck", "river", "ideal"}, Slots: slots, Prepare: pending(10_000), Measure: drain(5_000)},
		{Name: "backlog-1m", Systems: []string{"claimcheck", "river", "ideal"}, Slots: slots, Prepare: pending(1_000_000), Measure: drain(5_000)},
		{Name: "delayed-1m", Systems: product, Slots: slots, Prepare: among(1_000_000, system.Delayed, 10_000), Measure: drain(5_000)},
		{Name: "unknown-1m", Systems: product, Slots: slots, Prepare: among(1_000_000, system.Unknown, 10_000), Measure: drain(5_000)},
		{Name: "finished-10m", Systems: product, Slots: slots, Long: true, Prepare: finished(10_000_000, 10_000), Measure: drain(5_000)},
		{Name: "purge", Systems: []string{"claimcheck", "river", "river-bench", "bare", "ideal"}, Prepare: finished(200_000, 0), Measure: purge},
	}
}

// pushed is the scenario of so many deliveries over so many connections.
func pushed(connections, requests int) Scenario {
	return Scenario{
		Name: fmt.Sprintf("push-%d", connections), Systems: pushers, Slots: max(connections, queue.DefaultConcurrency),
		Prepare: pending(requests + requests/warmShare), Measure: push(connections),
	}
}

// Named returns the scenario of this name.
func Named(name string) (Scenario, error) {
	all := All()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		return Scenario{}, fmt.Errorf("there is no scenario %q", name)
	}
	return all[i], nil
}

// as returns the session as something more, which a scenario's list of systems
// says that it is.
func as[T any](s system.Session) (T, error) {
	t, ok := s.(T)
	if !ok {
		return t, fmt.Errorf("the system is no %s", reflect.TypeFor[T]())
	}
	return t, nil
}
