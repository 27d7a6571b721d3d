package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var rowTests = map[string]func(*fixture){
	"a new row comes back as it was asked for": func(f *fixture) {
		r := request(onQueue("émails"), onBackend("bulk"), priority(-100), maxAttempts(3), timeout(1500*time.Millisecond), args(`{"to":"a@b.c"}`))
		want := *r.Row
		f.must(f.store.Insert(f.ctx, r))
		want.Status, want.EnqueuedAt, want.DispatchDueAt = queue.StatusReady, r.EnqueuedAt, r.EnqueuedAt
		f.equal("inserted", *r.Row, want)
		f.equal("stored", *f.get(r.ID), want)
		if r.Existed {
			f.Error("a new row existed")
		}
		if off := time.Since(r.EnqueuedAt).Abs(); off > time.Hour {
			f.Errorf("enqueued_at is %s off", off)
		}
	},
	"what only some rows have comes back": func(f *fixture) {
		at := time.Date(2040, 5, 6, 7, 8, 9, 123456789, time.FixedZone("", 3*3600))
		full := func(r *queue.NewRow) {
			r.UniqueKey, r.UniqueScope, r.LimitKey, r.Schedule, r.ScheduledFor = "schlüssel "+r.ID.String(), queue.UniqueUnfinished, "tenant 'a' ", "nightly", at
			r.ExpiresAt, r.Keep = at, &queue.Retention{Failed: time.Hour}
		}
		later := func(r *queue.NewRow) {
			r.UniqueKey, r.UniqueScope, r.UniqueFor, r.ExpiresIn = r.ID.String(), queue.UniqueKept, time.Hour, time.Minute
		}
		rows := []*queue.NewRow{request(full), request(later), request(), request(full)}
		one := request(later)
		f.must(f.store.Insert(f.ctx, rows...))
		f.must(f.store.Insert(f.ctx, one))
		for _, r := range append(rows, one) {
			want := *r.Row
			f.equal("stored", *f.get(r.ID), want)
			if r.ExpiresIn > 0 && (!want.UniqueUntil.Equal(want.EnqueuedAt.Add(time.Hour)) || !want.ExpiresAt.Equal(want.EnqueuedAt.Add(time.Minute))) {
				f.Errorf("unique until %v and expires at %v, enqueued at %v", want.UniqueUntil, want.ExpiresAt, want.EnqueuedAt)
			}
			if r.Schedule != "" && (want.ScheduledFor != at.UTC().Truncate(time.Microsecond) || want.ExpiresAt != want.ScheduledFor || want.Keep == nil) {
				f.Errorf("scheduled for %v, expires at %v, keep %v", want.ScheduledFor, want.ExpiresAt, want.Keep)
			}
			got := f.claim(r.ID, lease)
			want.Status, want.Attempts, want.WorkerIDs, want.ClaimID, want.LeaseExpiresAt = got.Status, 1, got.WorkerIDs, got.ClaimID, got.LeaseExpiresAt
			want.StartedAt, want.LastAttemptedAt, want.DispatchDueAt = got.StartedAt, got.StartedAt, got.DispatchDueAt
			f.equal("claimed", *got, want)
		}
	},
	"times are UTC with microseconds": func(f *fixture) {
		at := time.Date(2040, 5, 6, 7, 8, 9, 123456789, time.FixedZone("", 3*3600))
		row := f.insert(runAfter(at))
		want := at.UTC().Truncate(time.Microsecond)
		for _, got := range []time.Time{row.RunAfter, f.get(row.ID).RunAfter} {
			if got != want {
				f.Errorf("run_after: got %v, want %v", got, want)
			}
		}
	},
	"a timeout below a millisecond does not become none": func(f *fixture) {
		row := f.insert(timeout(time.Microsecond))
		if got := f.get(row.ID).Timeout; got != time.Millisecond || row.Timeout != got {
			f.Errorf("timeout: got %v and %v", row.Timeout, got)
		}
	},
	"a claim sets its fields": func(f *fixture) {
		row := f.insert()
		f.must(f.store.DispatchFailed(f.ctx, "queue missing", false, row.ID))
		req := claimRequest(lease, func(r *queue.ClaimRequest) { r.Worker = "worker-1" })
		got, err := f.store.Claim(f.ctx, row.ID, req)
		f.must(err)
		want := *row
		want.Status, want.Attempts, want.ClaimID, want.WorkerIDs = queue.StatusRunning, 1, req.ClaimID, []string{"worker-1"}
		want.StartedAt, want.LastAttemptedAt, want.LeaseExpiresAt = got.StartedAt, got.StartedAt, got.StartedAt.Add(lease)
		want.DispatchDueAt = got.DispatchDueAt
		f.equal("claimed", *got, want)
		f.equal("stored", *f.get(row.ID), want)
		if got.StartedAt.Before(row.EnqueuedAt) {
			f.Error("started before it was enqueued")
		}
	},
	"started_at is that of the first attempt": func(f *fixture) {
		first := f.claimed(expired)
		second := f.claim(first.ID, expired)
		third := f.claim(first.ID, lease, func(r *queue.ClaimRequest) { r.Worker = "other" })
		if third.StartedAt != first.StartedAt || !third.LastAttemptedAt.After(second.StartedAt) {
			f.Errorf("started %v, then started %v and attempted %v", first.StartedAt, third.StartedAt, third.LastAttemptedAt)
		}
		f.equal("worker_ids", third.WorkerIDs, []string{"w", "w", "other"})
	},
	"a success keeps its value, and the errors before it": func(f *fixture) {
		row := f.claimed(lease)
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Errors: failures(2)}))
		row = f.claim(row.ID, lease)
		at, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`[1,"zwei"]`)})
		f.must(err)
		want := *row
		want.Status, want.FinishedAt, want.LeaseExpiresAt = queue.StatusSuccessful, at, time.Time{}
		want.ReturnValue, want.Errors = json.RawMessage(`[1,"zwei"]`), failures(2)
		f.equal("finished", *f.get(row.ID), want)
		if at.Before(row.LastAttemptedAt) {
			f.Error("finished before it was attempted")
		}
	},
	"a failure keeps its errors": func(f *fixture) {
		row := f.claimed(lease)
		_, err := f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusFailed, Errors: failures(queue.MaxErrors)})
		f.must(err)
		got := f.get(row.ID)
		f.equal("errors", got.Errors, failures(queue.MaxErrors))
		if got.Status != queue.StatusFailed || got.ReturnValue != nil {
			f.Errorf("status %s, return value %s", got.Status, got.ReturnValue)
		}
	},
	"an unknown ID is not found": func(f *fixture) {
		if _, err := f.store.Get(f.ctx, uuid.New()); !errors.Is(err, queue.ErrNotFound) {
			f.Errorf("Get: %v", err)
		}
		if _, err := f.store.Claim(f.ctx, uuid.New(), claimRequest(lease)); !errors.Is(err, queue.ErrNotFound) {
			f.Errorf("Claim: %v", err)
		}
	},
	"a trace stays with its row": func(f *fixture) {
		const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 vendor=a:b@c"
		longest := trace + strings.Repeat("x", queue.MaxTraceContext-len(trace))
		for _, trace := range []string{"", trace, longest} {
			alone, one, two := request(), request(), request()
			for _, r := range []*queue.NewRow{alone, one} {
				r.TraceContext = trace
			}
			f.must(f.store.Insert(f.ctx, alone))
			f.must(f.store.Insert(f.ctx, one, two))
			again := request(withID(alone.ID)) // the trace is not part of the request
			f.must(f.store.Insert(f.ctx, again))
			tx := f.begin(f.T, f.store)
			inTx := request()
			inTx.TraceContext = trace
			f.must(f.store.InsertTx(f.ctx, tx, inTx))
			f.must(tx.Commit(f.ctx))
			next := make(map[uuid.UUID]string)
			for _, row := range f.claimNext(10) {
				next[row.ID] = row.TraceContext
			}
			for _, row := range []*queue.Row{alone.Row, one.Row, again.Row, inTx.Row} {
				if got := f.get(row.ID).TraceContext; got != trace || row.TraceContext != trace || next[row.ID] != trace {
					f.Errorf("inserted %q, stored %q, claimed %q, want %q", row.TraceContext, got, next[row.ID], trace)
				}
			}
			if got := f.get(two.ID).TraceContext; got != "" {
				f.Errorf("another row of the batch has %q", got)
			}
			delivered := f.insert(func(r *queue.NewRow) { r.TraceContext = trace })
			claimed := f.claim(delivered.ID, lease)
			f.finish(claimed.Claim())
			if got := f.get(delivered.ID).TraceContext; got != trace || claimed.TraceContext != trace {
				f.Errorf("claimed %q, finished %q, want %q", claimed.TraceContext, got, trace)
			}
		}
	},
	"the database answers a ping": func(f *fixture) { f.must(f.store.Ping(f.ctx)) },
}

// portable are values that every database must keep to the byte.
var portable = map[string]string{
	"null":            `null`,
	"false":           `false`,
	"zero":            `0`,
	"empty string":    `""`,
	"empty list":      `[]`,
	"23 digits":       `12345678901234567890123`,
	"exact decimals":  `0.10000000000000000000000001`,
	"exponents":       `[1e300,-1E-300,1.50,-0]`,
	"order of keys":   `{"b":1,"a":2,"B":3}`,
	"repeated keys":   `{"a":1,"a":2}`,
	"escapes":         `"\"\\\/\b\f\n\r\t\u0001\u007f\u2028"`,
	"surrogate pair":  `"\ud83d\ude00"`,
	"unicode":         `"żółw 亀 😀 עברית"`,
	"SQL in a string": `"'; DROP TABLE claimcheck_tasks; -- $1 ? :x"`,
	"braces":          `"{a,b}"`,
	"deep":            strings.Repeat("[", queue.MaxDepth) + strings.Repeat("]", queue.MaxDepth),
	"one MiB":         `"` + strings.Repeat("0123456789abcdef", 1<<16) + `"`,
}

var jsonTests = func() map[string]func(*fixture) {
	tests := map[string]func(*fixture){
		"no return value is not null": func(f *fixture) {
			row := f.claimed(lease)
			f.finish(row.Claim())
			if got := f.get(row.ID).ReturnValue; got != nil {
				f.Errorf("got %s", got)
			}
		},
	}
	for name, value := range portable {
		tests[fmt.Sprintf("%s stays as it is", name)] = func(f *fixture) {
			f.must(queue.CheckJSON("args", []byte(value)))
			one, two := request(args(value)), request(args(value)) // alone, and in a batch
			f.must(f.store.Insert(f.ctx, one))
			f.must(f.store.Insert(f.ctx, two, request()))
			for _, row := range []*queue.Row{one.Row, two.Row} {
				claimed := f.claim(row.ID, lease)
				_, err := f.store.Finish(f.ctx, claimed.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(value)})
				f.must(err)
				got := f.get(row.ID)
				for what, data := range map[string]json.RawMessage{"args": got.Args, "claimed args": claimed.Args, "return value": got.ReturnValue} {
					if string(data) != value {
						f.Errorf("%s: got %.100s, want %.100s", what, data, value)
					}
				}
			}
		}
	}
	return tests
}()
