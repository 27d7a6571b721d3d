package sim

import (
	"math/rand/v2"
	"time"
)

// task is one on its way.
type task struct {
	enqueued time.Duration
	queue    *cloudQueue
	instance *instance
}

// run is a simulation under way.
type run struct {
	clock
	cfg    Config
	rand   *rand.Rand
	queues []*cloudQueue
	cloud  *service
	db     *station

	inside int      // tasks between their insert and their end
	within integral // of inside
	done   int
	waits  []time.Duration // from the enqueue until the function is called
	totals []time.Duration // from the enqueue until the result is stored
}

func newRun(cfg Config) *run {
	r := &run{cfg: cfg, rand: rand.New(rand.NewPCG(cfg.Seed, 0))}
	r.db = newStation(&r.clock, cfg.DBCPUs)
	r.cloud = newService(&r.clock, cfg)
	for range cfg.Queues {
		q := &cloudQueue{clock: &r.clock, deliver: r.deliver, rate: cfg.QueueRate, most: cfg.QueueRunning}
		if cfg.Rate == 0 {
			q.more = func() *task { return r.enter(q) }
		}
		r.queues = append(r.queues, q)
	}
	return r
}

// start begins with arrivals, or with a backlog.
func (r *run) start() {
	if r.cfg.Ramp {
		ramp(&r.clock, r.queues, r.cfg.QueueRate)
	}
	if r.cfg.Rate > 0 {
		r.arrive()
		return
	}
	for _, q := range r.queues {
		q.dispatch()
	}
}

// arrive enqueues a task, and plans the next: at random, as from many sources.
func (r *run) arrive() {
	t := r.enter(r.queues[r.rand.IntN(len(r.queues))]) // as the hash of its ID says
	r.statement(r.cfg.InsertCPU, func() {
		r.after(r.cfg.Create, func() { t.queue.add(t) })
	})
	r.after(time.Duration(r.rand.ExpFloat64()/r.cfg.Rate*1e9), r.arrive)
}

func (r *run) enter(q *cloudQueue) *task {
	r.within.add(r.now, r.inside)
	r.inside++
	return &task{enqueued: r.now, queue: q}
}

// deliver is one delivery, up to its answer.
func (r *run) deliver(t *task) {
	r.after(r.cfg.Deliver/2, func() {
		r.cloud.enter(func(i *instance) {
			t.instance = i
			i.cpus.serve(r.cfg.HandlerCPU, func() { r.onConn(i, r.cfg.ClaimCPU, func() { r.work(t) }) })
		})
	})
}

// work is the task's function.
func (r *run) work(t *task) {
	r.waits = append(r.waits, r.now-t.enqueued)
	r.after(r.cfg.WorkSpread.draw(r.rand, r.cfg.Work), func() {
		if r.cfg.OwnCPU == 0 {
			r.finish(t)
			return
		}
		r.onConn(t.instance, r.cfg.OwnCPU, func() { r.finish(t) })
	})
}

func (r *run) finish(t *task) {
	r.onConn(t.instance, r.cfg.FinishCPU, func() {
		r.done++
		r.totals = append(r.totals, r.now-t.enqueued)
		r.within.add(r.now, r.inside)
		r.inside--
		r.cloud.leave(t.instance)
		r.after(r.cfg.Deliver/2, t.queue.answered)
		if r.cfg.Rate == 0 { // a backlog that never ends: for each task that goes another one comes
			r.statement(r.cfg.InsertCPU, func() {})
		}
	})
}

// onConn is a statement on a connection of an instance's pool.
func (r *run) onConn(i *instance, cpu time.Duration, then func()) {
	i.conns.acquire(func() {
		r.statement(cpu, func() {
			i.conns.release()
			then()
		})
	})
}

// statement is what one statement takes: there, the database's CPU, its disk,
// and back.
func (r *run) statement(cpu time.Duration, then func()) {
	r.after(r.cfg.RoundTrip/2, func() {
		r.db.serve(r.cfg.CPUSpread.draw(r.rand, cpu), func() {
			r.after(r.cfg.Commit+r.cfg.RoundTrip/2, then)
		})
	})
}
