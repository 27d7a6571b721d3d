package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// fault is one kind of thing that goes wrong. strike makes it happen; what it
// takes longer to undo goes on in wg.
type fault struct {
	name   string
	weight int // how often it comes in one deck
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

// faults are those that exist at the run's site, and that it is to have.
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

// strike lets faults happen: from a shuffled deck in which each is as often as it
// weighs, then from the next deck, as long as the options say. The first deck is
// played to its end, and if something that must happen has not by the end of the
// time, more decks are, for as long again or a minute: a busy machine does little
// in ten seconds. Ending ctx ends it at once.
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
	began, most := time.Now(), r.options.duration+max(r.options.duration, time.Minute)
	for round := 0; ; round++ {
		random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, f := range deck {
			spent := time.Since(began)
			if round > 0 && spent > r.options.duration && (spent > most || r.complete(ctx)) {
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

// victim waits for one of some workers that no other fault has hold of, and
// prefers a random one. It is the fault's until busy is unlocked.
func victim(workers []*worker, random *rand.Rand) *worker {
	first := random.IntN(len(workers))
	for {
		for i := range workers {
			if w := workers[(first+i)%len(workers)]; w.busy.TryLock() {
				return w
			}
		}
		time.Sleep(10 * time.Millisecond) // the others are about to let go
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
	mortal := r.workers
	if r.elder() != nil {
		mortal = mortal[1:]
	}
	w := victim(mortal, random)
	r.tally.add(name, 1)
	wg.Go(func() {
		defer w.busy.Unlock()
		w.end(signal)
		r.restart(w)
	})
}

// pause stops a worker for longer than its leases last, and lets it go on: what
// it was doing is somebody else's by then.
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

// crash is not undone beside other faults, but here: the next one strikes a
// database that has just come back.
func (r *run) crash(*rand.Rand, *sync.WaitGroup) {
	r.site.crash()
	r.tally.add("database crash", 1)
}

func (r *run) endSessions(random *rand.Rand, _ *sync.WaitGroup) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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

// cut is counted by the proxy, which knows when it has happened.
func (r *run) cut(*rand.Rand, *sync.WaitGroup) { r.site.proxy.CutAfterCommit(4) }

// lock keeps a tenth of the live rows locked for a while, as a forgotten transaction
// of an operator does. All others must go on.
func (r *run) lock(random *rand.Rand, wg *sync.WaitGroup) {
	pause := r.options.lease + time.Duration(random.Int64N(int64(r.options.lease))) // random is not for the goroutine
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*r.options.lease+patience)
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

// refuse makes Cloud Tasks refuse everything for longer than an enqueue waits.
func (r *run) refuse(_ *rand.Rand, wg *sync.WaitGroup) {
	r.tally.add("Cloud Tasks outage", 1)
	r.cloud.outage(true)
	wg.Go(func() {
		time.Sleep(time.Second)
		r.cloud.outage(false)
	})
}
