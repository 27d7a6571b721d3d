package storetest

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/claimcheck-go/claimcheck/queue"
)

// state checks a document.
func (f *fixture) state(name, want string, version int64) {
	f.Helper()
	got, v, err := f.store.(queue.StateKeeper).State(f.ctx, name)
	f.must(err)
	f.equal("document", string(got), want)
	f.equal("version", v, version)
}

// setState stores a document.
func (f *fixture) setState(name, document string, version int64, want bool) {
	f.Helper()
	stored, err := f.store.(queue.StateKeeper).SetState(f.ctx, name, []byte(document), version)
	f.must(err)
	f.equal("stored", stored, want)
}

var stateTests = map[string]func(*fixture){
	"a document is stored at its version": func(f *fixture) {
		f.state("a", "", 0)
		f.setState("a", "", 3, false)
		f.state("a", "", 0)
		f.setState("a", `{"n":1}`, 0, true)
		f.state("a", `{"n":1}`, 1)
		f.setState("a", "other", 0, false)
		f.setState("a", "other", 2, false)
		f.state("a", `{"n":1}`, 1)
		long := strings.Repeat("ä🙂", 20_000)
		f.setState("a", long, 1, true)
		f.state("a", long, 2)
		f.setState("b", "1", 0, true)
		f.state("b", "1", 1)
		f.state("A", "", 0)
		f.state("a", long, 2)
		f.setState("a", long, 2, true) // nothing is changed, and it counts all the same
		f.setState("a", "late", 2, false)
		f.state("a", long, 3)
	},
	"of many at once one stores it": func(f *fixture) {
		for version := range int64(3) {
			var stored atomic.Int64
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					ok, err := f.store.(queue.StateKeeper).SetState(f.ctx, "race", []byte("x"), version)
					if err != nil {
						f.Error(err)
					}
					if ok {
						stored.Add(1)
					}
				})
			}
			all.Wait()
			f.equal("stored", stored.Load(), int64(1))
		}
	},
}
