package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// searchedArgs are arguments in which searches look.
var searchedArgs = []string{
	`{"user_id":4711}`, `{"user_id":"4711"}`, `{"user_id":47110}`, `{"user_id":4711.0}`, `{"user_id":-4711}`, `{"other":4711}`,
	`{"user":{"id":7,"name":"Ann"},"items":[{"sku":"a"},{"sku":"b"}]}`, `{"user.id":7}`, `{"user":{"id":null}}`, `{"user":[0,7]}`,
	`{"ok":true}`, `{"ok":"true"}`, `{"ok":false}`, `{"ok":null}`, `{"ok":""}`, `{}`, `null`, `"4711"`, `[4711,true]`,
	`{"n":9007199254740993}`, `{"n":12345678901234567890123}`, `{"n":1e3}`, `{"n":1000}`, `{"n":0.1}`,
	`{"name":"Grüße, MÜLLER"}`, `{"name":"grüße, müller"}`, `{"name":"\u0047r\u00fc\u00dfe"}`, `{"name":"山田太郎"}`, `{"name":"\u5c71\u7530"}`,
	`{"url":"https://x.example/?a=1&b=<2>"}`, `{"url":"https:\/\/x.example\/?a=1\u0026b=\u003c2\u003e"}`, `{"path":"C:\\temp\\\"x\""}`, `{"text":"one\ntwo\ttwo"}`,
	`{"100%_\\":"[x]*?"}`, `{"K":"` + "\u212a" + `elvin"}`, `{"user_id":{"a":4711}}`, `{"user_id":[4711]}`, `{"User_ID":4711}`, `{"\u0075ser_id":4711}`,
	`"claimcheck:1:k1:row:NDcxMQ"`, `{"city":"İstanbul"}`,
}

// withArgs are filters on arguments, each a path and a value.
func withArgs(pairs ...[2]string) (filters []queue.ArgFilter) {
	for _, pair := range pairs {
		filters = append(filters, queue.ArgFilter{Path: pair[0], Value: pair[1]})
	}
	return filters
}

// searches are selections by contents.
func searches() (all []queue.Selection) {
	for _, arg := range [][2]string{
		{"user_id", "4711"}, {"user_id", `"4711"`}, {"user_id", "4711.0"}, {"user_id", "-4711"}, {"user_id", "47"}, {"user_id", ""},
		{"user.id", "7"}, {"user.id", "null"}, {"user.1", "7"}, {"user.2", "7"}, {"user.-1", "7"}, {"user.name", "Ann"}, {"user.name", "ann"}, {"items.1.sku", "b"}, {"items.sku", "b"}, {"user", "7"},
		{"ok", "true"}, {"ok", `"true"`}, {"ok", "false"}, {"ok", "null"}, {"ok", ""}, {"ok", `""`}, {"ok", "TRUE"}, {"0", "4711"}, {"1", "true"},
		{"n", "9007199254740993"}, {"n", "9007199254740992"}, {"n", "12345678901234567890123"}, {"n", "1e3"}, {"n", "1000"}, {"n", "0.1"}, {"n", ".1"},
		{"name", "Grüße, MÜLLER"}, {"name", "Grüße"}, {"name", `"Gr\u00fc\u00dfe"`}, {"name", "山田"}, {"name", "山田太郎"},
		{"url", "https://x.example/?a=1&b=<2>"}, {"path", `C:\temp\"x"`}, {"path", `"C:\\temp\\\"x\""`}, {"text", "one\ntwo\ttwo"}, {`100%_\`, "[x]*?"}, {`100%_\`, "[x]"},
		{"K", "Kelvin"}, {"User_ID", "4711"}, {"missing", "4711"}, {"user_id.a", "4711"},
	} {
		all = append(all, queue.Selection{Args: withArgs(arg)})
	}
	for _, text := range []string{
		"4711", "USER_ID", `"user_id":4711`, "ann", "grüße", "GRÜSSE", "müller", "Müller", "ß", "山田", "太郎", "x.example/?A=1&b", "<2>", `temp\"x`, "one\ntwo", "two\ttwo",
		`\n`, "100%_", "%", "_", "[x]", "*", "kelvin", "elvin", "true", "9007199254740993", "1e3", "in the note", "IN THE NOTE", "timeout", "goroutine 7", "errors.thing", "no such text", "\u212aelvin", "İstanbul", "İ",
	} {
		all = append(all, queue.Selection{Text: text})
	}
	return append(all,
		queue.Selection{Text: "4711", Args: withArgs([2]string{"user_id", "4711"})},
		queue.Selection{Args: withArgs([2]string{"user.id", "7"}, [2]string{"user.name", "Ann"})},
		queue.Selection{Args: withArgs([2]string{"user.id", "7"}, [2]string{"user.name", "Bob"})},
		queue.Selection{Text: "4711", View: queue.ViewFailed},
		queue.Selection{Text: "4711", Queue: "other"},
		queue.Selection{Text: "4711", Hidden: func(task string) bool { return task == taskName }},
	)
}

// searched inserts rows in which searches look, and returns all rows there are, the latest
// ID first.
func (f *fixture) searched() (rows []*queue.Row) {
	f.Helper()
	for i, data := range searchedArgs {
		f.insert(args(data), onQueue([]string{"default", "other"}[i%2]))
	}
	note, none := "left in the NOTE", ""
	for i, report := range []*queue.Report{nil, {Note: &note}, {Note: &none}} {
		row := f.claimed(lease, args(`{"i":"`+strings.Repeat("i", i)+`"}`))
		f.must(second(f.store.Finish(f.ctx, row.Claim(), queue.Finish{
			Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`{"user_id":4711,"said":"Gr\u00fcße"}`), Report: report,
		})))
	}
	f.failed("*errors.Thing", "Timeout of 4711 <nil>", args(`{"a":1}`))
	row := f.claimed(lease)
	f.must(second(f.store.Finish(f.ctx, row.Claim(), queue.Finish{Status: queue.StatusFailed, Errors: []queue.AttemptError{{Message: "x", Traceback: "goroutine 7 [running]:\n\tmain.go"}}})))
	page, err := f.operator.List(f.ctx, queue.ListRequest{Limit: 1000})
	f.must(err)
	for _, row := range page.Rows {
		rows = append(rows, f.get(row.ID))
	}
	return rows
}

// second is the second of two values.
func second[T any](_ T, err error) error { return err }

// contentTests are about searches by what rows have.
var contentTests = map[string]func(*fixture){
	"a search finds what a row matches": func(f *fixture) {
		rows := f.searched()
		for _, s := range searches() {
			var want []uuid.UUID
			for _, row := range rows {
				if s.MatchesContents(row) && (s.View == "" || row.Status == queue.StatusFailed) && (s.Queue == "" || row.Queue == s.Queue) {
					want = append(want, row.ID)
				}
			}
			if s.View == queue.ViewFailed {
				slices.SortFunc(want, func(a, b uuid.UUID) int { return f.get(b).FinishedAt.Compare(f.get(a).FinishedAt) })
			}
			f.equal(fmt.Sprintf("%q %v", s.Text, s.Args), f.listed(queue.ListRequest{Selection: s, Limit: 3}), want)
		}
	},
	"Match gets whole rows, and decides": func(f *fixture) {
		f.insert(args(`{"user_id":1}`))
		sealed := f.insert(args(`"claimcheck:1:k1:row:NDcxMQ"`), withKey("k1"))
		one := f.failed("*x.E", "no", args(`{"user_id":4711}`))
		two := f.claimed(lease, args(`{"user_id":4711}`))
		f.must(second(f.store.Finish(f.ctx, two.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(`{"b":2}`)})))
		seen := map[uuid.UUID]*queue.Row{}
		r := queue.ListRequest{Selection: queue.Selection{Args: withArgs([2]string{"user_id", "4711"})}, Limit: 10}
		r.Match = func(row *queue.Row) bool { seen[row.ID] = f.whole(row); return row.ID == sealed.ID }
		if _, ok := f.store.(queue.KeyCounter); ok {
			f.equal("listed", f.listed(r), []uuid.UUID{sealed.ID})
			f.equal("sealed", []string{string(seen[sealed.ID].Args), seen[sealed.ID].KeyID}, []string{string(sealed.Args), "k1"})
		}
		r.Match = func(row *queue.Row) bool {
			seen[row.ID] = f.whole(row)
			return false
		}
		f.equal("none", f.listed(r), []uuid.UUID(nil))
		for _, row := range []*queue.Row{f.get(one.ID), f.get(two.ID)} {
			f.equal("the row", seen[row.ID], row)
		}
		f.equal("not by the store alone", f.listed(queue.ListRequest{Selection: queue.Selection{Text: "NDcxMQ"}, Limit: 10}), []uuid.UUID(nil))
	},
	"a search ends with its window": func(f *fixture) {
		var want []uuid.UUID
		for i := range 10 {
			if row := f.insert(args(fmt.Sprintf(`{"n":%d}`, i%5))); i%5 == 4 {
				want = append([]uuid.UUID{row.ID}, want...)
			}
		}
		r := queue.ListRequest{Selection: queue.Selection{Args: withArgs([2]string{"n", "4"})}, Limit: 5, Window: 3}
		var got []uuid.UUID
		for pages := 0; pages < 10; pages++ {
			page, err := f.operator.List(f.ctx, r)
			f.must(err)
			got = append(got, ids(page.Rows)...)
			if r.After = page.Next; page.Next == "" {
				break
			}
		}
		f.equal("found", got, want)
	},
	"IDs are found by their beginnings": func(f *fixture) {
		one, two := uuid.MustParse("0190aaaa-1111-7000-8000-000000000001"), uuid.MustParse("0190aaab-1111-7000-8000-000000000002")
		for _, id := range []uuid.UUID{one, two, uuid.MustParse("f190aaaa-1111-7000-8000-000000000003")} {
			f.insert(withID(id))
		}
		for prefix, want := range map[string][]uuid.UUID{
			"0190aaaa": {one}, "0190aaa": {two, one}, "0190aaab-1111-7": {two}, "0190aaab-1111-8": nil, "0": {two, one}, "0190aaaa-1111-7000-8000-00000000000": {one},
		} {
			f.equal(prefix, f.listed(queue.ListRequest{Selection: queue.Selection{IDPrefixes: []string{prefix}}, Limit: 1}), want)
		}
		both := queue.Selection{IDPrefixes: []string{"0190aaab"}, IDs: []uuid.UUID{one}, View: queue.ViewPending}
		f.equal("both", f.listed(queue.ListRequest{Selection: both, Limit: 1}), []uuid.UUID{one, two})
		n, err := f.operator.CountMatching(f.ctx, queue.ActionCancel, both, time.Time{}, 10)
		f.must(err)
		f.equal("to be cancelled", n, 2)
	},
	"names match patterns": func(f *fixture) {
		rows := map[string]uuid.UUID{}
		for _, name := range []string{"emails.send_welcome", "emails.send", "Emails.send", "send%[x]?!", `a\b`} {
			rows[name] = f.insert(withTask(name)).ID
		}
		for _, pattern := range []string{"*", "*send*", "emails.*", "*.send", "e*s*d", "e*s*d*", "*_*", "*%*", "*[x]*", "*?*", "*!", `a\*`, "*x*x*", "EMAILS*", "emails.send", "**end"} {
			s := queue.Selection{Task: pattern}
			var want []uuid.UUID
			for name, id := range rows {
				if s.HasTask(name) {
					want = append(want, id)
				}
			}
			f.equal(pattern, sorted(f.listed(queue.ListRequest{Selection: s, Limit: 2})), sorted(want))
			n, err := f.operator.CountMatching(f.ctx, queue.ActionCancel, s, time.Time{}, 10)
			f.must(err)
			f.equal(pattern+" counted", n, len(want))
		}
	},
	"values of listed rows": func(f *fixture) {
		long := `{"text":"` + strings.Repeat("ü", 400) + `"}`
		one := f.insert(args(long))
		two := f.failed("*x.E", "no", args(`{"a":1}`))
		three := f.claimed(lease, args(`[3]`))
		f.must(second(f.store.Finish(f.ctx, three.Claim(), queue.Finish{Status: queue.StatusSuccessful, ReturnValue: json.RawMessage(long)})))
		four := f.insert(args(long), withKey("k1"))
		for _, s := range []queue.Selection{{}, {Queue: "default"}, {Hidden: func(string) bool { return false }, Text: "X"}} {
			s.IDs = []uuid.UUID{one.ID, two.ID, three.ID}
			if _, ok := f.store.(queue.KeyCounter); ok {
				s.IDs = append(s.IDs, four.ID)
			}
			page, err := f.operator.List(f.ctx, queue.ListRequest{Selection: s, Limit: 10, Values: 300})
			f.must(err)
			for _, row := range page.Rows {
				want := f.get(row.ID)
				switch row.ID {
				case one.ID, four.ID:
					want.Args = nil
				case three.ID:
					want.ReturnValue = nil
				}
				f.equal("values", []string{string(row.Args), string(row.ReturnValue), fmt.Sprint(row.Errors)}, []string{string(want.Args), string(want.ReturnValue), fmt.Sprint(want.Errors)})
			}
			f.equal("the beginning", page.Beginnings[one.ID], string([]rune(long)[:queue.ArgsBeginning]))
			f.equal("of an encrypted row", page.Beginnings[four.ID], "")
		}
	},
	"a store does not act by contents": func(f *fixture) {
		row := f.insert(args(`{"a":1}`))
		for _, s := range []queue.Selection{{Text: "a"}, {Args: withArgs([2]string{"a", "1"})}} {
			_, err := f.operator.CountMatching(f.ctx, queue.ActionCancel, s, time.Time{}, 1)
			_, actErr := f.operator.Act(f.ctx, queue.ActionCancel, s, f.now(), 1)
			if !isInvalid(err) || !isInvalid(actErr) {
				f.Errorf("%v, %v", err, actErr)
			}
		}
		f.equal("status", f.get(row.ID).Status, queue.StatusReady)
	},
}

// whole is a copy of a row, which a store may change.
func (f *fixture) whole(row *queue.Row) *queue.Row {
	copied := *row
	copied.Errors = slices.Clone(row.Errors)
	return &copied
}

// membersViewTests are about lists of the members of groups.
var memberViewTests = map[string]func(*fixture){
	"the members of a group are listed": func(f *fixture) {
		g, other := f.createGroup(), f.createGroup()
		f.insert()
		f.insert(inGroup(other.ID))
		one, two := f.insert(inGroup(g.ID)), f.insert(inGroup(g.ID), withTask("other"))
		s := queue.Selection{MemberOf: g.ID}
		f.equal("members", f.listed(queue.ListRequest{Selection: s, Limit: 1}), []uuid.UUID{two.ID, one.ID})
		s.View, s.Task = queue.ViewPending, taskName
		f.equal("of one task", f.listed(queue.ListRequest{Selection: s, Limit: 1}), []uuid.UUID{one.ID})
		rows, err := f.operator.Act(f.ctx, queue.ActionCancel, queue.Selection{MemberOf: g.ID}, f.now(), 10)
		f.must(err)
		f.equal("cancelled", sorted(ids(rows)), sorted([]uuid.UUID{one.ID, two.ID}))
	},
}
