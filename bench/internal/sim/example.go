package sim

import "time"

// Example is a system worth knowing.
type Example struct {
	Name string
	Config
}

// Examples are those of docs/scaling.md. They are Default but for what their
// names say; those with "or" differ from the first.
func Examples() []Example {
	var all []Example
	add := func(name string, base Config, change func(*Config)) Config {
		change(&base)
		all = append(all, Example{name, base})
		return base
	}
	first := add("one queue, 10 instances, 2 vCPUs", Default(), func(*Config) {})
	four := add("4 shards, 4 vCPUs", first, func(c *Config) { c.Queues, c.DBCPUs = 4, 4 })
	twelve := add("12 shards, 20 instances, 4 vCPUs", four, func(c *Config) { c.Queues, c.Instances, c.Warm = 12, 20, 20 })
	add("12 shards, 20 instances, 8 vCPUs", twelve, func(c *Config) { c.DBCPUs = 8 })
	add("12 shards, 20 instances, 4 vCPUs, merged", twelve.Merged(), func(*Config) {})
	add("24 shards, 40 instances, 8 vCPUs, merged", twelve.Merged(), func(c *Config) {
		c.Queues, c.Instances, c.Warm, c.DBCPUs = 24, 40, 40, 8
		c.WarmUp, c.Duration = 10*time.Second, 15*time.Second
	})
	add("or: 100 instances that take one request at a time", first, func(c *Config) { c.Instances, c.Warm, c.Concurrency, c.Conns = 100, 100, 1, 1 })
	add("4 shards, 4 vCPUs, but one connection in each of 4 instances", four, func(c *Config) { c.Instances, c.Warm, c.Conns = 4, 4, 1 })
	add("or: 2 instances, work of 1 s", first, func(c *Config) { c.Instances, c.Warm, c.Work = 2, 2, time.Second })
	lasting := add("or: work of 30 s, 200 instances, 5,000 running in the queue", first, func(c *Config) {
		c.QueueRunning, c.Instances, c.Warm, c.Work = 5000, 200, 200, 30*time.Second
		c.WarmUp, c.Duration = 2*time.Minute, 5*time.Minute
	})
	add("work of 30 s, 200 instances, 2 shards", lasting, func(c *Config) { c.Queues = 2 })
	add("or: each task asks for 5 ms of the database", first, func(c *Config) { c.OwnCPU = 5 * time.Millisecond })
	return all
}
