package storetest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"strings"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// ofSize sets arguments of n bytes, which databases cannot compress.
func ofSize(n int) func(*queue.NewRow) {
	random := make([]byte, n)
	_, _ = rand.Read(random) // it never fails
	return args(`"` + base64.StdEncoding.EncodeToString(random)[:n-2] + `"`)
}

// repetitive sets arguments of n bytes, which databases may compress.
func repetitive(n int) func(*queue.NewRow) {
	return args(`"` + strings.Repeat("x", n-2) + `"`)
}

// storedAs checks a row with long arguments: comparing them byte by byte, as equal does,
// takes a minute with the race detector.
func (f *fixture) storedAs(row *queue.Row) {
	f.Helper()
	stored, claimed := *f.get(row.ID), *row
	if !bytes.Equal(stored.Args, claimed.Args) {
		f.Errorf("arguments of %d bytes are stored, and %d were claimed", len(stored.Args), len(claimed.Args))
	}
	stored.Args, claimed.Args = nil, nil
	f.equal("row", stored, claimed)
}

// Sizes in these tests differ from the limit by some kilobytes: a store may estimate them.
var claimSizeTests = map[string]func(*fixture){
	"a claim ends at the limit for arguments": func(f *fixture) {
		for what, each := range map[string]struct {
			sized func(int) func(*queue.NewRow)
			ahead int
		}{"random": {ofSize, 0}, "repetitive": {repetitive, 9}} {
			var all []uuid.UUID
			for range 5 {
				all = append(all, f.insert(each.sized(queue.MaxClaimBytes/4-1000)).ID)
			}
			first := f.claimNext(11, ahead(each.ahead))
			f.equal(what+", first claim", ids(first), all[:4])
			for _, row := range first {
				f.storedAs(row)
			}
			f.equal(what+", last claim", ids(f.claimNext(11, ahead(11))), all[4:])
		}
	},
	"rows that do not fit stay as they are, and are not overtaken": func(f *fixture) {
		first := f.insert(priority(1))
		large := f.insert(repetitive(queue.MaxClaimBytes - 10_000))
		next, last := f.insert(ofSize(20_000)), f.insert()
		before := []*queue.Row{f.get(next.ID), f.get(last.ID)}
		f.equal("first claim", ids(f.claimNext(10)), []uuid.UUID{first.ID, large.ID})
		for _, row := range before {
			f.unchanged(row)
		}
		f.equal("second claim", ids(f.claimNext(10)), []uuid.UUID{next.ID, last.ID})
	},
	"the first row is always taken": func(f *fixture) {
		for what, sized := range map[string]func(int) func(*queue.NewRow){"random": ofSize, "repetitive": repetitive} {
			huge, small := f.insert(sized(queue.MaxClaimBytes+10_000)), f.insert()
			f.equal(what+", first claim", ids(f.claimNext(10, ahead(5))), []uuid.UUID{huge.ID})
			f.equal(what+", second claim", ids(f.claimNext(10, ahead(5))), []uuid.UUID{small.ID})
		}
	},
	"many rows with small arguments fit": func(f *fixture) {
		rows := make([]*queue.NewRow, 900)
		for i := range rows {
			rows[i] = request(repetitive(4000), priority(i%3))
		}
		f.must(f.store.Insert(f.ctx, rows...))
		claimed := f.claimNext(len(rows), ahead(800))
		f.equal("rows", len(claimed), len(rows))
		for i := range claimed[1:] {
			if claimed[i].Priority < claimed[i+1].Priority {
				f.Fatalf("row %d has priority %d, the next one %d", i, claimed[i].Priority, claimed[i+1].Priority)
			}
		}
	},
}
