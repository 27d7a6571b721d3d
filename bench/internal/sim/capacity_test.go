package sim

import (
	"testing"
	"time"
)

// saturated are systems of which each has one narrow place, some of them by
// little.
var saturated = []struct {
	name   string
	change func(*Config)
	want   Resource
}{
	{"default", func(*Config) {}, Dispatches},
	{"four queues", func(c *Config) { c.Queues, c.QueueRunning, c.DBCPUs = 4, 5000, 4 }, Dispatches},
	{"long work in one queue", func(c *Config) { c.Work, c.Instances, c.Warm = 10*time.Second, 200, 200 }, Running},
	{"few slots", func(c *Config) { c.Instances, c.Warm, c.Concurrency = 2, 2, 20 }, Slots},
	{"few slots, heavy work", func(c *Config) {
		c.Instances, c.Warm, c.Concurrency, c.WorkSpread, c.Duration = 2, 2, 20, Heavy, 10*time.Minute
	}, Slots},
	{"one slot each", func(c *Config) { c.Instances, c.Warm, c.Concurrency, c.Conns = 50, 50, 1, 1 }, Slots},
	{"much CPU in few instances", func(c *Config) { c.Instances, c.Warm, c.HandlerCPU = 3, 3, 10*time.Millisecond }, InstanceCPU},
	{"few connections", func(c *Config) { c.Instances, c.Warm, c.Conns, c.Queues, c.DBCPUs = 4, 4, 1, 4, 4 }, Conns},
	{"tasks that ask the database", func(c *Config) { c.OwnCPU, c.Duration = 10*time.Millisecond, 5*time.Minute }, DatabaseCPU},
	{"small database", func(c *Config) { c.Queues, c.QueueRunning, c.DBCPUs = 8, 5000, 1 }, DatabaseCPU},
	{"large database", func(c *Config) {
		c.Queues, c.QueueRunning, c.DBCPUs, c.Instances, c.Warm = 20, 1000, 8, 50, 50
		c.WarmUp, c.Duration = 3*time.Second, 6*time.Second
	}, DatabaseCPU},
	{"large database, statements that go together", func(c *Config) {
		*c = c.Merged()
		c.Queues, c.QueueRunning, c.DBCPUs, c.Instances, c.Warm = 10, 1000, 8, 50, 50
		c.WarmUp, c.Duration = 3*time.Second, 6*time.Second
	}, Dispatches},
}

// The closed formula of docs/scaling.md and the simulation agree within 3 % on
// how much goes through, and on what is in the way.
func TestCapacityIsWhatTheSimulationReaches(t *testing.T) {
	for _, test := range saturated {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := Default()
			test.change(&cfg)
			limit, want := Least(Capacity(cfg))
			result, err := Run(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !near(result.PerSecond, want, 0.03) {
				t.Errorf("%.0f tasks/s, the formula says %.0f (%s); used %v", result.PerSecond, want, limit, result.Utilisation)
			}
			if limit != test.want || result.Bottleneck != test.want {
				t.Errorf("the formula names %s, the simulation %q, and it is %s; used %v", limit, result.Bottleneck, test.want, result.Utilisation)
			}
		})
	}
}

// Where two limits are the same, each is in the other's way: the formula is a
// bound, and the simulation stays a little below.
func TestTwoLimitsAtOnceCostALittle(t *testing.T) {
	cfg := Default()
	cfg.Queues, cfg.QueueRunning, cfg.Instances, cfg.Warm = 8, 5000, 6, 6
	capacity := Capacity(cfg)
	cfg.Work = time.Duration(float64(cfg.Instances*cfg.Concurrency)/capacity[DatabaseCPU]*1e9) - 10*time.Millisecond
	_, bound := Least(Capacity(cfg))
	result, err := Run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if share := result.PerSecond / bound; share > 1.01 || share < 0.9 {
		t.Errorf("%.0f tasks/s are %.3f of the bound", result.PerSecond, share)
	}
}
