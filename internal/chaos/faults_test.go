package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// fault is one kind of fault. strike causes it; a goroutine of wg undoes what lasts
// longer.
type fault struct {
	name   string
	weight int // how often it occurs in one round
	strike func(r *run, random *rand.Rand, wg *sync.WaitGroup)
}

// Faults of processes exist everywhere.
var processFaults = []fault{
	{"SIGKILL", 3, (*run).kill},
	{"SIGSTOP past the lease", 2, (*run).pause},
	{"SIGTERM", 2, (*run).terminate},
}

// Faults of a database behind a network.
var networkFaults = []fault{
	{"database crash", 1, (*run).crash},
	{"ended sessions", 1, (*run).endSessions},
	{"reset connections", 2, (*run).reset},
	{"blackhole", 1, (*run).blackhole},
	{"cut after commit", 3, (*run).cut},
	{"Cloud Tasks outage", 1, (*run).refuse},
	{"locked rows", 1, (*run).lock},
}

// faults returns the faults that exist at the run's site and that the options allow.
func (r *run) faults() []fault {
	all := processFaults
	if r.site.proxy != nil {
		all = slices.Concat(processFaults, networkFaults)
	}
	if len(r.options.only) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(f fault) bool { return !slices.Contains(r.options.only, f.name) })
}

// strike causes faults in rounds. A round is a shuffled list in which each fault occurs
// as often as its weight says. The first round is always completed. If a fault that must
// happen has not happened after the options' duration, more rounds follow, for as long
// again or a minute: a busy machine does little in ten seconds. strike returns when ctx
// ends.
func (r *run) strike(ctx context.Context) {
	random := r.options.random(1)
	var wg sync.WaitGroup
	defer wg.Wait()
	var deck []fault
	for _, f := range r.faults() {
		for range f.weight {
			deck = append(deck, f)
		}
	}
	pause := r.options.pace
	if pause == 0 {
		pause = min(500*time.Millisecond, r.options.duration/time.Duration(2*len(deck)+1))
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	began, limit := time.Now(), r.options.duration+max(r.options.duration, time.Minute)
	for round := 0; ; round++ {
		random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, f := range deck {
			spent := time.Since(began)
			if round > 0 && spent > r.options.duration && (spent > limit || r.complete(ctx)) {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				f.strike(r, random, &wg)
			}
		}
	}
}

// victim waits for a worker that no other fault uses, and prefers a random one. The
// worker belongs to the fault until busy is unlocked.
func victim(workers []*worker, random *rand.Rand) *worker {
	first := random.IntN(len(workers))
	for {
		for i := range workers {
			if w := workers[(first+i)%len(workers)]; w.busy.TryLock() {
				return w
			}
		}
		time.Sleep(10 * time.Millisecond) // another fault is about to end
	}
}

// restart starts a worker that has ended.
func (r *run) restart(w *worker) {
	if err := w.start(); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.violations = append(r.violations, violation{rule: ruleStarts, text: err.Error()})
	}
}

func (r *run) kill(random *rand.Rand, wg *sync.WaitGroup) {
	r.replace("SIGKILL", syscall.SIGKILL, random, wg)
}
func (r *run) terminate(random *rand.Rand, wg *sync.WaitGroup) {
	r.replace("SIGTERM", syscall.SIGTERM, random, wg)
}

// replace ends a worker by a signal and starts another in its place.
func (r *run) replace(name string, signal syscall.Signal, random *rand.Rand, wg *sync.WaitGroup) {
	candidates := r.workers
	if r.survivor() != nil {
		candidates = candidates[1:]
	}
	w := victim(candidates, random)
	r.tally.add(name, 1)
	wg.Go(func() {
		defer w.busy.Unlock()
		w.end(signal)
		r.restart(w)
	})
}

// pause stops a worker for longer than its leases, and continues it: other workers have
// its tasks by then.
func (r *run) pause(random *rand.Rand, wg *sync.WaitGroup) {
	w := victim(r.workers, random)
	r.tally.add("SIGSTOP past the lease", 1)
	stopped := r.options.lease + time.Duration(random.Int64N(int64(r.options.lease)))
	w.signal(syscall.SIGSTOP)
	wg.Go(func() {
		defer w.busy.Unlock()
		time.Sleep(stopped)
		w.signal(syscall.SIGCONT)
	})
}

// crash restarts the database before it returns, so that the next fault strikes one
// that has just recovered.
func (r *run) crash(*rand.Rand, *sync.WaitGroup) {
	r.site.crash()
	r.tally.add("database crash", 1)
}

func (r *run) endSessions(random *rand.Rand, _ *sync.WaitGroup) {
	ctx, cancel := context.WithTimeout(context.Background(), frontTimeout)
	defer cancel()
	n, err := r.site.terminate(ctx, 5, random)
	if err == nil {
		r.tally.add("ended sessions", n)
	}
}

func (r *run) reset(random *rand.Rand, _ *sync.WaitGroup) {
	r.tally.add("reset connections", r.site.proxy.Reset(0.3, random))
}

func (r *run) blackhole(random *rand.Rand, _ *sync.WaitGroup) {
	r.tally.add("blackhole", r.site.proxy.Blackhole(0.5, r.options.lease*4/3, random))
}

// cut is counted by the proxy, when it happens.
func (r *run) cut(*rand.Rand, *sync.WaitGroup) { r.site.proxy.CutAfterCommit(4) }

// lock keeps some of the unfinished rows locked for a while, like a forgotten transaction
// of an operator. All other rows must make progress.
func (r *run) lock(random *rand.Rand, wg *sync.WaitGroup) {
	pause := r.options.lease + time.Duration(random.Int64N(int64(r.options.lease))) // random is not safe for the goroutine
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*r.options.lease+frontTimeout)
		defer cancel()
		tx, err := r.site.db.BeginTx(ctx, nil)
		if err != nil {
			return // the database is down just now
		}
		defer func() { _ = tx.Rollback() }()
		locked := 0
		var id string
		err = each(ctx, tx, `SELECT id FROM claimcheck_tasks WHERE status IN ('READY', 'RUNNING') ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED`, func() { locked++ }, &id)
		if err != nil || locked == 0 {
			return
		}
		r.tally.add("locked rows", locked)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	})
}

// refuse makes Cloud Tasks refuse all calls for longer than an enqueue waits.
func (r *run) refuse(_ *rand.Rand, wg *sync.WaitGroup) {
	r.tally.add("Cloud Tasks outage", 1)
	r.cloud.outage(true)
	wg.Go(func() {
		time.Sleep(time.Second)
		r.cloud.outage(false)
	})
}
