package sim

import (
	"errors"
	"fmt"
	"time"
)

// Config is a system and its load. Default says where its numbers are from.
type Config struct {
	Seed     uint64
	Rate     float64       // tasks a second that are enqueued; 0: as many as get done, out of a backlog that never ends
	WarmUp   time.Duration // not measured
	Duration time.Duration // measured

	Queues       int     // Cloud Tasks queues that share the tasks
	QueueRate    float64 // max_dispatches_per_second of each
	QueueRunning int     // max_concurrent_dispatches of each
	Ramp         bool    // the queues are new: together 500 tasks a second, and half as many more every five minutes
	Create       time.Duration
	Deliver      time.Duration // from the queue to the instance, and the answer back

	Instances    int           // at most
	Warm         int           // of them, that run from the start
	StartUp      time.Duration // of the others, begun when a request finds no room
	Concurrency  int           // requests at once in one instance
	Conns        int           // of the pool of each: DB_MAX_CONNS
	InstanceCPUs int
	HandlerCPU   time.Duration // of one task in the instance, without its work

	Work       time.Duration // the task's own time, on average; it waits for something else and uses no CPU here
	WorkSpread Spread

	DBCPUs    int
	InsertCPU time.Duration // in the database, for one statement
	ClaimCPU  time.Duration
	FinishCPU time.Duration
	OwnCPU    time.Duration // of what the task itself asks the database, on a connection of the same pool; 0: nothing
	CPUSpread Spread
	RoundTrip time.Duration // between instance and database
	Commit    time.Duration // until the log is on the disk
}

// check returns what is wrong with it, all at once.
func (c Config) check() error {
	var problems []error
	for _, n := range []struct {
		name  string
		value float64
	}{
		{"queues", float64(c.Queues)}, {"queue-rate", c.QueueRate}, {"queue-running", float64(c.QueueRunning)},
		{"instances", float64(c.Instances)}, {"concurrency", float64(c.Concurrency)}, {"conns", float64(c.Conns)},
		{"instance-cpus", float64(c.InstanceCPUs)}, {"db-cpus", float64(c.DBCPUs)}, {"duration", float64(c.Duration)},
	} {
		if n.value <= 0 {
			problems = append(problems, fmt.Errorf("%s must be positive", n.name))
		}
	}
	for _, n := range []struct {
		name  string
		value float64
	}{
		{"rate", c.Rate}, {"warm-up", float64(c.WarmUp)}, {"start-up", float64(c.StartUp)}, {"warm", float64(c.Warm)},
		{"create", float64(c.Create)}, {"deliver", float64(c.Deliver)}, {"handler-cpu", float64(c.HandlerCPU)},
		{"work", float64(c.Work)}, {"insert-cpu", float64(c.InsertCPU)}, {"claim-cpu", float64(c.ClaimCPU)},
		{"finish-cpu", float64(c.FinishCPU)}, {"own-cpu", float64(c.OwnCPU)}, {"round-trip", float64(c.RoundTrip)}, {"commit", float64(c.Commit)},
	} {
		if n.value < 0 {
			problems = append(problems, fmt.Errorf("%s must not be negative", n.name))
		}
	}
	if c.Warm > c.Instances {
		problems = append(problems, fmt.Errorf("warm is %d, but there are at most %d instances", c.Warm, c.Instances))
	}
	return errors.Join(problems...)
}

// The rule by which Google asks to fill new queues: 500 operations a second, and
// then half as many more every five minutes. It counts for a group of queues
// whose names follow each other, as those of one queue's shards do.
const (
	rampFrom  = 500
	rampBy    = 1.5
	rampEvery = 5 * time.Minute
)

// RampRate is what a new group of queues may dispatch in a second, so long after
// its first task.
func RampRate(after time.Duration) float64 {
	rate := float64(rampFrom)
	for ; after >= rampEvery; after -= rampEvery {
		rate *= rampBy
	}
	return rate
}
