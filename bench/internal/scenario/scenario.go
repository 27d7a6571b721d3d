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
	Slow    bool    // the system is one that drains less than others
}

// rows scales a count: to a hundred at the least, and to whole thousands above
// one, by which systems fill their tables.
func (s Size) rows(n int) int {
	n = max(100, int(float64(n)*s.Scale))
	if n > 1000 {
		n -= n % 1000
	}
	return n
}

func (s Size) duration() time.Duration { return time.Duration(s.Seconds * float64(time.Second)) }

// Scenario is one thing that is measured on several systems.
type Scenario struct {
	Name    string
	Systems []string
	Server  system.Server // empty: each system's own
	Long    bool          // left out of a quick run
	Slots   int           // tasks that run at once
	Sleep   time.Duration // of each task
	Program bool          // starts the server's program
	Tenth   []string      // systems that drain a tenth here, at most smallBacklog, as those do that are slow everywhere
	// InPlace makes all runs work on what was prepared, one after the other: a
	// copy for each would take longer than all else.
	InPlace bool
	// Prepare fills the database; nil leaves the tables empty.
	Prepare func(ctx context.Context, s system.Session, size Size) error
	// Measure runs on what was prepared.
	Measure func(ctx context.Context, s system.Session, m *probe.Meter, size Size) (probe.Metrics, error)
}

var (
	alone     = []string{"claimcheck", "river", "graphile-worker", "asynq", "asynq-fsync", "dbos", "bare", "ideal"}
	enqueuers = []string{"claimcheck", "claimcheck-pooler", "river", "graphile-worker", "asynq", "asynq-fsync", "dbos", "bare", "ideal"}
	workers   = []string{"claimcheck", "claimcheck-info", "claimcheck-pooler", "river", "river-bench", "graphile-worker", "asynq", "asynq-fsync", "dbos", "bare", "ideal"}
	postgres  = []string{"claimcheck", "river", "graphile-worker", "bare", "ideal"}
	pushers   = []string{"claimcheck", "claimcheck-open", "bare", "ideal"}
	starters  = []string{"claimcheck", "river", "asynq"}
	locals    = []string{"claimcheck", "river", "graphile-worker", "asynq"}
	backlogs  = []string{"claimcheck", "river", "ideal"}
	purgers   = []string{"claimcheck", "river", "river-bench", "bare", "ideal"}
	yardstick = []string{"claimcheck", "bare"}
	product   = []string{"claimcheck"}
	creators  = []string{"claimcheck", "claimcheck-batch", "bare"}
	slowest   = []string{"river"}
	fewSlots  = []string{"claimcheck", "river", "ideal"}
)

// slots is `work --concurrency 100`. Beside a backlog there are fewer, and so more
// claims, whose times are what counts there; embedded databases have what local
// mode has.
const (
	slots         = 100
	backlogSlots  = 20
	embeddedSlots = queue.DefaultConcurrency
)

// All are the scenarios in the order in which they run.
func All() []Scenario {
	return []Scenario{
		{Name: "enqueue-1", Systems: alone, Measure: enqueue(1)},
		{Name: "enqueue-16", Systems: enqueuers, Measure: enqueue(16)},
		{Name: "batch-1000", Systems: postgres, Measure: batches(1000)},
		{Name: "create-task", Systems: creators, Server: system.CloudTasks, Measure: create},
		{Name: "drain-50k", Systems: workers, Slots: slots, Prepare: allOf(50_000), Measure: drain(50_000)},
		{Name: "drain-20", Systems: fewSlots, Slots: backlogSlots, Prepare: pending(20_000), Measure: drain(20_000)},
		slept(time.Millisecond, 20_000),
		slept(20*time.Millisecond, 2_000),
		{Name: "full-beside-idle", Systems: product, Slots: backlogSlots, Measure: longestWait},
		pushed(1, 2_000),
		pushed(8, 10_000),
		pushed(64, 20_000),
		pushed(256, 25_000),
		{Name: "idle-start", Systems: locals, Slots: queue.DefaultConcurrency, Measure: idle(system.Local, 25)},
		{Name: "idle-start-sqlite", Systems: product, Server: system.SQLite, Slots: embeddedSlots, Measure: idle(system.Local, 25)},
		{Name: "idle-start-mariadb", Systems: product, Server: system.MariaDB, Slots: embeddedSlots, Measure: idle(system.Local, 25)},
		{Name: "idle-start-worker", Systems: starters, Slots: queue.DefaultConcurrency, Measure: idle(system.Remote, 4)},
		{Name: "backlog-10k", Systems: backlogs, Tenth: slowest, Slots: backlogSlots, Prepare: pending(smallBacklog), Measure: rounds(smallBacklog, backlogTasks)},
		{Name: "backlog-1m", Systems: backlogs, Tenth: slowest, Slots: backlogSlots, InPlace: true, Prepare: pending(1_000_000), Measure: beside},
		{Name: "delayed-1m", Systems: product, Slots: backlogSlots, InPlace: true, Prepare: among(1_000_000, system.Delayed), Measure: beside},
		{Name: "unknown-1m", Systems: product, Slots: backlogSlots, InPlace: true, Prepare: among(1_000_000, system.Unknown), Measure: beside},
		{Name: "finished-10m", Systems: product, Slots: backlogSlots, Long: true, InPlace: true, Prepare: among(10_000_000, system.Finished), Measure: beside},
		{Name: "purge", Systems: purgers, Prepare: finished(purgeable), Measure: purge},
		{Name: "purge-beside", Systems: product, Slots: slots, Prepare: mixed(600_000, besideRounds*2*besideTasks), Measure: purgeBeside},
		{Name: "sqlite-enqueue", Systems: yardstick, Server: system.SQLite, Measure: enqueue(16)},
		{Name: "sqlite-drain", Systems: yardstick, Server: system.SQLite, Slots: embeddedSlots, Prepare: pending(3_000), Measure: drain(3_000)},
		{Name: "mariadb-enqueue", Systems: yardstick, Server: system.MariaDB, Measure: enqueue(16)},
		{Name: "mariadb-drain", Systems: yardstick, Server: system.MariaDB, Slots: embeddedSlots, Prepare: pending(3_000), Measure: drain(3_000)},
		{Name: "cold-start", Systems: product, Server: system.SQLite, Program: true, Measure: coldStart},
		{Name: "cold-start-postgres", Systems: product, Program: true, Measure: coldServing},
		{Name: "idle-serve", Systems: product, Program: true, Measure: resting},
	}
}

// slept is the scenario of tasks that sleep, in few slots.
func slept(sleep time.Duration, n int) Scenario {
	return Scenario{
		Name: "sleep-" + sleep.String(), Systems: product, Slots: backlogSlots, Sleep: sleep,
		Prepare: pending(n), Measure: sleeping(backlogSlots, n),
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
