package storetest

import (
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Statements about many rows read neither arguments nor results nor errors.
var largeTests = map[string]func(*fixture){
	"many rows with large arguments are changed in little memory": func(f *fixture) {
		const rows, size = 30, 1 << 20
		large := args(`"` + strings.Repeat("x", size-2) + `"`)
		insert := func(n int, changes ...func(*queue.NewRow)) (all []uuid.UUID) {
			for range n {
				all = append(all, f.insert(append(changes, large)...).ID)
			}
			return all
		}
		for range rows / 3 {
			f.failed("x", "y", large, armed)
			f.claimed(expired, large, armed)
		}
		stranded := insert(rows/3, onQueue("stranded"))
		now := f.now()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		retried, err := f.operator.Act(f.ctx, queue.ActionRetry, queue.Selection{View: queue.ViewFailed}, now, rows)
		f.must(err)
		requeued, err := f.operator.Requeue(f.ctx, queue.RequeueRequest{Limit: rows})
		f.must(err)
		taken := f.takeStranded("stranded", now.Add(time.Minute), rows)
		cancelled, err := f.operator.Act(f.ctx, queue.ActionCancel, queue.Selection{Queue: "stranded"}, now, rows)
		f.must(err)
		runtime.ReadMemStats(&after)
		f.equal("requeued", requeued, queue.RequeueResult{Ready: rows / 3})
		f.equal("taken", sorted(ids(taken)), sorted(stranded))
		if len(retried) != rows/3 || len(cancelled) != rows/3 {
			f.Errorf("%d retried, %d cancelled", len(retried), len(cancelled))
		}
		const most = 4 << 20
		if used := after.TotalAlloc - before.TotalAlloc; used > most {
			f.Errorf("%d bytes were allocated for %d rows, of which %d bytes are arguments", used, rows, rows*size)
		}
		if got := f.get(stranded[0]); len(got.Args) != size {
			f.Errorf("%d bytes of arguments are left", len(got.Args))
		}
	},
	"a taken row shows no error of the ticket before": func(f *fixture) {
		row := f.insert()
		f.must(f.store.DispatchFailed(f.ctx, "refused", false, row.ID))
		f.equal("noted", f.get(row.ID).DispatchError, "refused")
		f.equal("taken", ids(f.takeStranded("default", f.now().Add(time.Hour), 10)), []uuid.UUID{row.ID})
		f.equal("cleared", f.get(row.ID).DispatchError, "")
		f.must(f.store.DispatchFailed(f.ctx, "refused again", false, row.ID))
		f.equal("noted again", f.get(row.ID).DispatchError, "refused again")
	},
}
