package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

var insertTests = map[string]func(*fixture){
	"nothing is no error": func(f *fixture) { f.must(f.store.Insert(f.ctx)) },
	"many rows are stored with one time": func(f *fixture) {
		rows := make([]*queue.NewRow, 2500)
		for i := range rows {
			rows[i] = request(args(fmt.Sprint(i)), priority(i%5), maxAttempts(i+1), timeout(time.Duration(i)*time.Millisecond))
		}
		rows[7].Delay = time.Hour
		f.must(f.store.Insert(f.ctx, rows...))
		for _, i := range []int{0, 7, 999, 1000, 2499} {
			f.equal(fmt.Sprintf("row %d", i), *f.get(rows[i].ID), *rows[i].Row)
			if rows[i].EnqueuedAt != rows[0].EnqueuedAt || string(rows[i].Args) != fmt.Sprint(i) || rows[i].MaxAttempts != i+1 {
				f.Errorf("row %d: %+v", i, rows[i].Row)
			}
		}
		if got := rows[7].RunAfter.Sub(rows[7].EnqueuedAt); got != time.Hour {
			f.Errorf("delay: %v", got)
		}
	},
	"the same request again is the stored row": func(f *fixture) {
		row := f.claimed(lease, args(`{"a":1,"b":[2]}`))
		again := request(withID(row.ID), args(`{"b":[2], "a":1}`), priority(50), delay(time.Hour))
		f.must(f.store.Insert(f.ctx, again))
		if !again.Existed {
			f.Error("Existed is not set")
		}
		f.equal("row", *again.Row, *row)
		f.equal("stored", *f.get(row.ID), *row)
	},
	"the same ID for something else is refused": func(f *fixture) {
		row := f.insert(args(`1`))
		for _, other := range []*queue.NewRow{
			request(withID(row.ID), args(`2`)), request(withID(row.ID), args(`1.0`)), request(withID(row.ID), args(`1`), withTask("other")),
		} {
			before := *other.Row
			if err := f.store.Insert(f.ctx, other); !errors.Is(err, queue.ErrIDConflict) {
				f.Errorf("Insert: %v", err)
			}
			f.equal("the refused row", *other.Row, before)
		}
		f.equal("stored", *f.get(row.ID), *row)
	},
	"a batch with a conflict stores nothing": func(f *fixture) {
		old := f.insert(args(`1`))
		first, last := request(), request()
		before := *first.Row
		if err := f.store.Insert(f.ctx, first, request(withID(old.ID), args(`2`)), last); !errors.Is(err, queue.ErrIDConflict) {
			f.Fatalf("Insert: %v", err)
		}
		f.equal("a row of the refused batch", *first.Row, before)
		for _, id := range []uuid.UUID{first.ID, last.ID} {
			if _, err := f.store.Get(f.ctx, id); !errors.Is(err, queue.ErrNotFound) {
				f.Errorf("Get: %v", err)
			}
		}
	},
	"a batch may contain rows that exist": func(f *fixture) {
		old := f.insert(args(`1`))
		fresh, again := request(), request(withID(old.ID), args(`1`))
		f.must(f.store.Insert(f.ctx, fresh, again))
		if fresh.Existed || !again.Existed {
			f.Errorf("existed: %v and %v", fresh.Existed, again.Existed)
		}
		f.equal("the old row", *again.Row, *old)
		f.get(fresh.ID)
	},
	"a batch may contain one request twice": func(f *fixture) {
		one := request(args(`{"a":1}`))
		two := request(withID(one.ID), args(`{"a": 1}`))
		f.must(f.store.Insert(f.ctx, one, two))
		if one.Existed || !two.Existed {
			f.Errorf("existed: %v and %v", one.Existed, two.Existed)
		}
		f.equal("rows", two.EnqueuedAt, one.EnqueuedAt)
		if err := f.store.Insert(f.ctx, request(), request(withID(one.ID), args(`2`))); !errors.Is(err, queue.ErrIDConflict) {
			f.Errorf("conflict in a batch: %v", err)
		}
		three := request()
		if err := f.store.Insert(f.ctx, three, request(withID(three.ID), args(`3`))); !errors.Is(err, queue.ErrIDConflict) {
			f.Errorf("conflict within a batch: %v", err)
		}
		if _, err := f.store.Get(f.ctx, three.ID); !errors.Is(err, queue.ErrNotFound) {
			f.Errorf("it is stored: %v", err)
		}
	},
	"one request from many callers is one row": func(f *fixture) {
		id := uuid.Must(uuid.NewV7())
		var group sync.WaitGroup
		rows := make([]*queue.NewRow, 16)
		for i := range rows {
			rows[i] = request(withID(id))
			group.Go(func() {
				if err := f.store.Insert(f.ctx, rows[i]); err != nil {
					f.Errorf("Insert: %v", err)
				}
			})
		}
		group.Wait()
		fresh := 0
		for _, row := range rows {
			if !row.Existed {
				fresh++
			}
		}
		if fresh != 1 {
			f.Errorf("%d callers made the row", fresh)
		}
	},
}
