package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/internal/chaos/ledger"
	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/queue"
)

// run is the state of one run.
type run struct {
	t       *testing.T
	options options
	site    *site
	cloud   *cloud // nil where tasks run in the workers themselves
	front   *front
	workers []*worker
	ledger  *ledger.Ledger // of producers in this process; nil without Cloud Tasks
	client  *queue.Client  // likewise
	http    *http.Client

	promises promises
	tally    tally
	pauses   pauses
	groups   groups
	baseline []usage // of the workers, before the load
	samples  []usage // of the survivor

	// When the schedules were made, and until when they were ticked, in microseconds of the
	// database's clock.
	scheduled, ticked int64

	limitedWaiting atomic.Int64 // tasks of the queue with a limit

	mu         sync.Mutex
	violations []violation // that were noticed during the run
	caught     []violation // for which an impatient run was stopped
}

// broken records a violation that was noticed during the run.
func (r *run) broken(rule string, id uuid.UUID, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, violation{rule: rule, id: id.String(), text: text})
}

// start starts the parts of a run, until the end of the test.
func start(t *testing.T, o options, s *site, workers int) *run {
	t.Helper()
	r := &run{
		t: t, options: o, site: s, front: newFront(workers),
		http:     &http.Client{Timeout: frontTimeout + time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 20}},
		promises: promises{all: make(map[uuid.UUID]promise)}, tally: tally{counts: make(map[string]int)},
	}
	t.Cleanup(func() { r.front.close(); r.http.CloseIdleConnections() })
	args := []string{"-database", s.url, "-lease", o.lease.String(), "-token", token}
	if s.proxy != nil {
		r.cloud = newCloud(t, o.seed)
		args = append(args, "-cloudtasks", r.cloud.api, "-front", r.front.URL, "-issuer", r.cloud.certs.URL, "-account", account)
		if !o.lazyCommits { // which the store refuses, unless it is mutated
			r.enqueueHere()
		}
	}
	for i := range workers {
		w := &worker{name: fmt.Sprintf("w%d", i), program: o.worker, args: args, number: i, front: r.front}
		r.workers = append(r.workers, w)
		t.Cleanup(func() { w.end(syscall.SIGKILL) })
		if err := w.start(); err != nil {
			t.Fatal(err)
		}
		use, err := w.usage()
		if err != nil {
			t.Fatal(err)
		}
		r.baseline = append(r.baseline, use)
	}
	r.schedule()
	r.limit()
	return r
}

// enqueueHere makes the client of the producers in this process.
func (r *run) enqueueHere() {
	r.t.Helper()
	ctx := context.Background()
	var err error
	if r.ledger, err = ledger.Open(ctx, r.site.url); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.ledger.Close)
	connection, err := cloudtasks.Dial(ctx, cloudtasks.DialConfig{EmulatorHost: r.cloud.api})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = connection.Close() })
	dispatcher, err := cloudtasks.New(connection, cloudtasks.Config{
		Project: "chaos", Location: "europe-west1", HandlerURL: r.front.URL + cloudtasks.DefaultHandlerPath, ServiceAccountEmail: account,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.client, err = queue.NewClient(queue.Config{
		Store: r.ledger.Store, Registry: tasks.Declared(), Dispatcher: dispatcher,
		DispatchTimeout: 500 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// execute runs from the beginning to the verdict.
func (r *run) execute() *verdict {
	load, stopLoad := context.WithCancel(context.Background())
	always, stopAll := context.WithCancel(context.Background())
	defer stopAll()
	defer stopLoad()
	var producers, background sync.WaitGroup
	r.produce(load, &producers)
	r.operate(load, &producers)
	r.serve(always, &background)

	striking, stopStriking := context.WithCancel(load)
	defer stopStriking()
	var watching sync.WaitGroup
	if r.options.impatient {
		watching.Go(func() { r.watch(striking, stopStriking) })
	}
	r.strike(striking)
	stopStriking()
	watching.Wait()
	stopLoad()
	if r.cloud != nil {
		r.cloud.calm()
	}
	faultsEnded := time.Now()
	v := &verdict{run: r}
	producers.Wait()
	if len(r.caught) == 0 { // else there would only be more of the same
		r.endSchedules()
		r.endGroups()
		r.drain()
	}
	v.drained = time.Since(faultsEnded)
	stopAll()
	background.Wait()
	r.settle(v)
	return v
}

// produce starts the producers: eight, of which half enqueue by HTTP, and the
// others, where this process can, in Go and in transactions of the business.
func (r *run) produce(ctx context.Context, wg *sync.WaitGroup) {
	const producers = 8
	for i := range producers {
		p := &producer{run: r, random: r.options.random(100 + uint64(i)), pace: time.Duration(producers / r.options.rate * float64(time.Second))}
		switch {
		case r.client == nil || i < 4:
			wg.Go(func() { p.produce(ctx, p.byHTTP) })
		case i < 6:
			wg.Go(func() { p.produce(ctx, p.byGo) })
		default:
			wg.Go(func() { p.produceInTx(ctx) })
		}
	}
}

// operate starts the operators.
func (r *run) operate(ctx context.Context, wg *sync.WaitGroup) {
	random := r.options.random(200)
	wg.Go(func() { r.every(ctx, 400*time.Millisecond, func(ctx context.Context) { r.cancelOne(ctx, random) }) })
	wg.Go(func() { r.every(ctx, 3*time.Second, r.requeue) })
	wg.Go(func() { r.every(ctx, 1500*time.Millisecond, r.pauseQueue) })
	wg.Go(func() { r.every(ctx, 300*time.Millisecond, r.countLimited) })
	ofGroups := r.options.random(300)
	wg.Go(func() { r.every(ctx, 400*time.Millisecond, func(context.Context) { r.produceGroup(ofGroups) }) })
	wg.Go(func() { r.every(ctx, 300*time.Millisecond, r.tick) })
	wg.Go(func() { r.every(ctx, 500*time.Millisecond, r.tick) })
	wg.Go(func() { r.every(ctx, 400*time.Millisecond, r.tickByGo) })
}

// serve starts what a run also needs while it drains: aging, and two sweepers, of which
// one runs in this process.
func (r *run) serve(ctx context.Context, wg *sync.WaitGroup) {
	wg.Go(func() { r.every(ctx, time.Second, r.age) })
	if r.survivor() != nil {
		wg.Go(func() { r.every(ctx, time.Second, r.sample) })
	}
	if !r.options.noSweeper {
		wg.Go(func() { r.every(ctx, 700*time.Millisecond, r.sweepByHTTP) })
	}
	if !r.options.noSweeper && !r.options.workersSweep {
		wg.Go(func() { r.every(ctx, 900*time.Millisecond, r.sweepByGo) })
	}
}

// every calls do at each interval until ctx ends.
func (r *run) every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do(ctx)
		}
	}
}

// drain waits until all rows are final, as long as the options allow.
func (r *run) drain() {
	deadline := time.After(r.options.drain)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var live, open int
		err := r.site.db.QueryRow(`SELECT (SELECT count(*) FROM claimcheck_tasks WHERE status IN ('READY', 'RUNNING')), (`+unfinishedGroups+`)`).Scan(&live, &open)
		if err == nil && live+open == 0 {
			return
		}
		select {
		case <-deadline:
			return // settle reports the rest
		case <-tick.C:
		}
	}
}
