package chaos

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	seedFlag     = flag.Uint64("chaos.seed", 0, "seed of the choice of faults and tasks; 0 draws one")
	durationFlag = flag.Duration("chaos.duration", 0, "how long faults strike on PostgreSQL (half of it on MariaDB, a quarter on SQLite); 0 is a short time that fits into the other tests")
	rateFlag     = flag.Float64("chaos.rate", 100, "tasks that the producers try to enqueue in a second")
	soakFlag     = flag.Duration("chaos.soak", 0, "duration of a soak of all databases together: commits are forced to disk, and one worker is never ended, whose memory must not grow")
	raceFlag     = flag.Bool("chaos.race", false, "build the workers with the race detector")
	logsFlag     = flag.String("chaos.logs", "", "directory for the logs of the workers; none are kept without it")
)

// options configure one run.
type options struct {
	seed     uint64
	duration time.Duration // how long faults strike
	drain    time.Duration // how long the rest may take
	rate     float64       // tasks enqueued in a second
	lease    time.Duration
	worker   string // the program
	mixture  []kind
	keys     int // idempotency keys of each kind
	soak     bool

	// For mutations.
	noSweeper    bool
	workersSweep bool          // and not this process beside them, which is never mutated
	lazyCommits  bool          // PostgreSQL: synchronous_commit is off
	impatient    bool          // validate during the run, and end it at the first violation
	only         []string      // faults; empty: all
	pace         time.Duration // between two faults; 0: derived from the duration
}

// The databases' shares of the durations in the flags.
const (
	postgresShare = 1.0
	mariaDBShare  = 0.5
	sqliteShare   = 0.25
	allShares     = postgresShare + mariaDBShare + sqliteShare
)

// newOptions returns the options that the flags set. short is the duration of a run among
// other tests, and share its part of the durations in the flags.
func newOptions(t *testing.T, short time.Duration, share float64) options {
	t.Helper()
	o := options{
		seed: *seedFlag, duration: time.Duration(share * float64(*durationFlag)), drain: time.Minute, rate: *rateFlag, soak: *soakFlag > 0,
		lease: 1500 * time.Millisecond, worker: workerProgram(t), mixture: mixture, keys: keyCount,
	}
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	switch {
	case o.soak:
		o.duration = time.Duration(share / allShares * float64(*soakFlag))
	case o.duration == 0:
		o.duration = short
	}
	return o
}

// random returns a source of random choices for one part of a run, so that the number of
// its choices does not affect the other parts.
func (o options) random(part uint64) *rand.Rand { return rand.New(rand.NewPCG(o.seed, part)) }
