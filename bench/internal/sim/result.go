package sim

import (
	"slices"
	"time"
)

// Resource is a part of the system that there is a limited amount of.
type Resource string

// The resources, in the order in which a task meets them.
const (
	Dispatches  Resource = "dispatches/s"
	Running     Resource = "running"
	Slots       Resource = "slots"
	InstanceCPU Resource = "instance CPU"
	Conns       Resource = "connections"
	DatabaseCPU Resource = "database CPU"
)

// Resources lists them.
var Resources = []Resource{Dispatches, Running, Slots, InstanceCPU, Conns, DatabaseCPU}

// Result is what a simulation showed.
type Result struct {
	PerSecond   float64 // tasks that ended
	Inside      float64 // on average, from the enqueue to the end
	WaitMean    time.Duration
	WaitP50     time.Duration // from the enqueue until the function is called
	WaitP99     time.Duration
	TotalMean   time.Duration // from the enqueue until the result is stored
	Utilisation map[Resource]float64
	// Bottleneck is what all wait for; "" if nothing is used up.
	Bottleneck Resource
	// BilledSeconds are the seconds of one instance with a request, for a task.
	BilledSeconds float64
}

// Run simulates.
func Run(cfg Config) (Result, error) {
	if err := cfg.check(); err != nil {
		return Result{}, err
	}
	r := newRun(cfg)
	r.start()
	r.clock.run(cfg.WarmUp)
	r.reset()
	r.clock.run(cfg.WarmUp + cfg.Duration)
	return r.result(), nil
}

// reset begins the measurement.
func (r *run) reset() {
	r.within.reset(r.now)
	r.db.used.reset(r.now)
	for _, q := range r.queues {
		q.used.reset(r.now)
		q.dispatched = 0
	}
	for _, i := range r.cloud.instances {
		i.used.reset(r.now)
		i.awake.reset(r.now)
		i.cpus.used.reset(r.now)
		i.conns.used.reset(r.now)
	}
	r.done, r.waits, r.totals = 0, nil, nil
}

func (r *run) result() Result {
	cfg, seconds := r.cfg, r.cfg.Duration.Seconds()
	result := Result{
		PerSecond: float64(r.done) / seconds, Inside: r.within.mean(r.now, r.inside),
		WaitMean: mean(r.waits), TotalMean: mean(r.totals), WaitP50: percentile(r.waits, 0.5), WaitP99: percentile(r.waits, 0.99),
	}
	// Each as a share of all that there may be.
	used := map[Resource]float64{DatabaseCPU: r.db.meanBusy() / float64(cfg.DBCPUs)}
	for _, q := range r.queues {
		used[Dispatches] += float64(q.dispatched) / seconds / q.rate / float64(cfg.Queues)
		used[Running] += q.used.mean(r.now, q.running) / float64(q.most*cfg.Queues)
	}
	instances, billed := float64(cfg.Instances), 0.0
	for _, i := range r.cloud.instances {
		since := (r.now - i.used.from).Seconds() / seconds // it may have started meanwhile
		used[Slots] += since * i.used.mean(r.now, i.slots) / float64(cfg.Concurrency) / instances
		used[InstanceCPU] += since * i.cpus.meanBusy() / float64(cfg.InstanceCPUs) / instances
		used[Conns] += since * i.conns.meanBusy() / float64(cfg.Conns) / instances
		billed += since * seconds * i.awake.mean(r.now, min(i.slots, 1))
	}
	result.Utilisation, result.Bottleneck = used, bottleneck(used)
	if r.done > 0 {
		result.BilledSeconds = billed / float64(r.done)
	}
	return result
}

// bottleneck is the last resource on the path that is used up: what
// precedes it is full because of it.
func bottleneck(used map[Resource]float64) (found Resource) {
	const usedUp = 0.97
	for _, resource := range Resources {
		if used[resource] >= usedUp {
			found = resource
		}
	}
	return found
}

func mean(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	var sum float64
	for _, t := range times {
		sum += float64(t)
	}
	return time.Duration(sum / float64(len(times)))
}

// percentile sorts times.
func percentile(times []time.Duration, p float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[int(p*float64(len(times)-1))]
}
