package storetest

import (
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

func (f *fixture) gatekeeper() queue.Gatekeeper { return f.store.(queue.Gatekeeper) }

// other is another store on the same database, or the same one.
func (f *fixture) other() queue.Gatekeeper {
	if f.second == nil {
		return f.gatekeeper()
	}
	return f.second(f.T, f.store).(queue.Gatekeeper)
}

func (f *fixture) pause(name string) queue.Gate {
	f.Helper()
	gate, changed, err := f.gatekeeper().PauseQueue(f.ctx, name, "ops", "the provider is down")
	f.must(err)
	f.equal("paused now", changed, true)
	return gate
}

func (f *fixture) resume(name string) {
	f.Helper()
	_, changed, err := f.gatekeeper().ResumeQueue(f.ctx, name)
	f.must(err)
	f.equal("resumed now", changed, true)
}

func (f *fixture) park(name string, limit int) int {
	f.Helper()
	n, err := f.gatekeeper().Park(f.ctx, name, limit)
	f.must(err)
	return n
}

// parkAll parks rows, and checks that Promote knew of them and sees none afterwards.
func (f *fixture) parkAll(name string, want int) {
	f.Helper()
	f.needsWork("before parking", true)
	f.equal("parked", f.park(name, 1000), want)
	f.needsWork("after parking", false)
	f.equal("parked again", f.park(name, 1000), 0)
	stats := f.operatorStats()
	f.equal("stranded", stats.Stranded, 0)
}

func (f *fixture) unpark(name string, limit int) (int, []*queue.Row) {
	f.Helper()
	n, due, err := f.gatekeeper().Unpark(f.ctx, name, limit)
	f.must(err)
	return n, due
}

func (f *fixture) gates() []queue.Gate {
	f.Helper()
	gates, err := f.gatekeeper().Gates(f.ctx)
	f.must(err)
	return gates
}

// open checks that no queue is paused, and that no work is left.
func (f *fixture) open() {
	f.Helper()
	f.needsWork("with all gates open", false)
	f.equal("gates", f.gates(), []queue.Gate(nil))
}

func (f *fixture) needsWork(when string, want bool) {
	f.Helper()
	f.equal("work on gates "+when, f.promote().Gates, want)
}

// unparked checks whether a row is not parked.
func (f *fixture) unparked(id uuid.UUID, want bool) {
	f.Helper()
	f.equal("not parked", !f.get(id).Parked(), want)
}

// refusedPaused checks that a row is not claimed because its queue is paused.
func (f *fixture) refusedPaused(id uuid.UUID) *queue.Row {
	f.Helper()
	refused := f.refused(id, queue.ErrPaused)
	return refused.Row
}

// operatorStats are the store's statistics, if it has any.
func (f *fixture) operatorStats() (stats queue.Stats) {
	f.Helper()
	if f.operator == nil {
		return stats
	}
	stats, err := f.operator.Stats(f.ctx, queue.Filter{})
	f.must(err)
	return stats
}
