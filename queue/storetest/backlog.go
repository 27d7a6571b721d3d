package storetest

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

var backlogTests = map[string]func(*fixture){
	"the READY rows of a queue are counted, up to a limit": func(f *fixture) {
		count := func(backend, name string, limit, want int) {
			f.Helper()
			n, err := f.store.(queue.BacklogCounter).CountReady(f.ctx, backend, name, limit)
			f.must(err)
			f.equal(backend+", "+name, n, want)
		}
		count("default", "default", 10, 0)
		f.insert()
		f.insert(delay(time.Hour))
		f.insert(onQueue("other"))
		f.insert(onBackend("other"))
		f.claimed(lease)
		f.finish(f.claimed(lease).Claim())
		f.secondAttempt()
		count("default", "default", 10, 3)
		count("default", "default", 3, 3)
		count("default", "default", 2, 2)
		count("default", "other", 10, 1)
		count("other", "default", 10, 1)
	},
}
