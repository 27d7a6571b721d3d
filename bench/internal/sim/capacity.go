package sim

import (
	"math"
	"time"
)

// Capacity is what each resource would let through of itself, in tasks a second,
// once all instances run: docs/scaling.md has the formulas. The least of them is
// the system's. It is an upper bound, and near the truth where it is well below
// the next one.
func Capacity(cfg Config) map[Resource]float64 {
	statement := func(cpu time.Duration) time.Duration { return cfg.RoundTrip + cfg.Commit + cpu }
	onConns := statement(cfg.ClaimCPU) + statement(cfg.FinishCPU)
	if cfg.OwnCPU > 0 {
		onConns += statement(cfg.OwnCPU)
	}
	inSlot := cfg.HandlerCPU + onConns + cfg.Work
	instances, queues := float64(cfg.Instances), float64(cfg.Queues)
	return map[Resource]float64{
		Dispatches:  queues * cfg.QueueRate,
		Running:     queues * float64(cfg.QueueRunning) / (inSlot + cfg.Deliver).Seconds(),
		Slots:       instances * float64(cfg.Concurrency) / inSlot.Seconds(),
		InstanceCPU: per(instances*float64(cfg.InstanceCPUs), cfg.HandlerCPU),
		Conns:       per(instances*float64(cfg.Conns), onConns),
		DatabaseCPU: per(float64(cfg.DBCPUs), cfg.InsertCPU+cfg.ClaimCPU+cfg.OwnCPU+cfg.FinishCPU),
	}
}

// Least is the least of what Capacity returns, and whose it is.
func Least(capacity map[Resource]float64) (Resource, float64) {
	least, most := Resource(""), math.Inf(1)
	for _, resource := range Resources {
		if c := capacity[resource]; c < most {
			least, most = resource, c
		}
	}
	return least, most
}

// per is how often a second so many can do what takes d.
func per(n float64, d time.Duration) float64 {
	if d == 0 {
		return math.Inf(1)
	}
	return n / d.Seconds()
}
