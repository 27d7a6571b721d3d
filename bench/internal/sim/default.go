package sim

import "time"

// Default is a small service on Cloud Run beside a database of two vCPUs.
//
// The CPU times were measured by `go run . -quick -scenarios
// enqueue-1,push-1,push-8,push-64 -systems claimcheck` on two cores of an AMD EPYC
// (November 2026, PostgreSQL 15, fsync): 0.22 ms of the server's CPU for an
// insert, 0.60 to 0.67 ms for claim and finish, and 0.46 ms of the instance's for
// a delivery, eight at a time. With 64 at a time in one process the statements of
// several tasks go together, and it is 0.06 ms (16 inserts at a time), 0.155 ms
// and 0.19 ms: see Merged. The times of networks, disks and starts are
// assumptions.
func Default() Config {
	return Config{
		Seed: 1, WarmUp: 20 * time.Second, Duration: time.Minute,
		Queues: 1, QueueRate: 500, QueueRunning: 1000,
		Create: 20 * time.Millisecond, Deliver: 10 * time.Millisecond,
		Instances: 10, Warm: 10, StartUp: 2 * time.Second, Concurrency: 80, Conns: 10, InstanceCPUs: 1, HandlerCPU: 460 * time.Microsecond,
		Work: 200 * time.Millisecond, WorkSpread: Exponential,
		DBCPUs: 2, InsertCPU: 220 * time.Microsecond, ClaimCPU: 335 * time.Microsecond, FinishCPU: 335 * time.Microsecond, CPUSpread: Exponential,
		RoundTrip: time.Millisecond, Commit: 2 * time.Millisecond,
	}
}

// Merged is c with what CPU is used when each process has so many tasks at once
// that their statements go together.
func (c Config) Merged() Config {
	c.InsertCPU, c.ClaimCPU, c.FinishCPU = 60*time.Microsecond, 78*time.Microsecond, 78*time.Microsecond
	c.HandlerCPU = 190 * time.Microsecond
	return c
}
