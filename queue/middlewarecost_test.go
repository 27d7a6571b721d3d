package queue

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/uuid"
)

// Without middleware, an enqueue and a run allocate nothing for it.
func TestMiddlewareThatIsNotSetAllocatesNothing(t *testing.T) {
	rows, c := []*NewRow{{Row: &Row{ID: uuid.New(), Task: "t"}}}, &Client{}
	if n := testing.AllocsPerRun(100, func() {
		if c.chains.surrounds(rows) || c.chains.tasks[rows[0].Task].run != nil {
			t.Error("there is middleware")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkMiddleware is what an enqueue and a run spend on middleware, without storing:
//
//	go test -run '^$' -bench Middleware -benchmem ./queue
func BenchmarkMiddleware(b *testing.B) {
	pass := Middleware{
		Enqueue: func(next EnqueueFunc) EnqueueFunc {
			return func(ctx context.Context, rows []*Row) error { return next(ctx, rows) }
		},
		Run: func(next RunFunc) RunFunc {
			return func(ctx context.Context, row *Row) error { return next(ctx, row) }
		},
	}
	for name, all := range map[string][]Middleware{"none": nil, "one": {pass}, "three": {pass, pass, pass}} {
		d := NewTaskFunc("t", func(context.Context, int) error { return nil })
		cfg := Config{Registry: NewRegistry(d), Middleware: all}
		chains, err := newChains(&cfg)
		if err != nil {
			b.Fatal(err)
		}
		row := &Row{ID: uuid.New(), Task: "t", Args: json.RawMessage(`1`)}
		rows := []*NewRow{{Row: row}}
		store := func(context.Context) error { return nil }
		b.Run("enqueue/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if chains.surrounds(rows) {
					_ = chains.around(b.Context(), rows, store)
				} else {
					_ = store(b.Context())
				}
			}
		})
		b.Run("run/"+name, func(b *testing.B) {
			r := &activeRun{row: row}
			r.values = taskContext{b.Context(), r}
			r.taskCtx = &r.values
			run := d.definition().run
			b.ReportAllocs()
			for b.Loop() {
				if chain := chains.tasks[row.Task].run; chain != nil {
					_, _ = r.surrounded(chain)
				} else {
					_, _ = run(r.taskCtx, row.Args)
				}
			}
		})
	}
}
