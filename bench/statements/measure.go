package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// call is one thing that is measured.
type call struct {
	name string
	do   func(context.Context) error
}

// measure prints the time of the first run of each call, and of the median of the
// further ones.
func measure(ctx context.Context, store *pgstore.Store, times int) error {
	calls, err := calls(store)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "call\tfirst run\tmedian of the next\tslowest of the next")
	for _, c := range calls {
		var took []time.Duration
		for range times + 1 {
			began := time.Now()
			if err := c.do(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			took = append(took, time.Since(began))
		}
		warm := slices.Sorted(slices.Values(took[1:]))
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.name, ms(took[0]), ms(warm[len(warm)/2]), ms(warm[len(warm)-1]))
	}
	return w.Flush()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// day is the age of what is purged.
const day = 24 * time.Hour

func calls(store *pgstore.Store) ([]call, error) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(), Logger: quiet})
	if err != nil {
		return nil, err
	}
	stats := func(f queue.Filter) func(context.Context) error {
		return func(ctx context.Context) error { _, err := client.Stats(ctx, f); return err }
	}
	count := func(age time.Duration, task string, statuses ...queue.Status) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.CountPurgeable(ctx, queue.PurgeRequest{Statuses: statuses, Age: age, Task: task})
			return err
		}
	}
	final := []queue.Status{queue.StatusSuccessful, queue.StatusFailed}
	list := []call{
		{"sweep: count finished rows", func(ctx context.Context) error { return countAll(ctx, store) }},
		{"sweep: Promote", func(ctx context.Context) error { _, err := store.Promote(ctx, 500); return err }},
		{"sweep: StrandedQueues", func(ctx context.Context) error { _, err := store.StrandedQueues(ctx, "default"); return err }},
		{"sweep: TakeStranded", func(ctx context.Context) error {
			_, err := store.TakeStranded(ctx, queue.StrandedQueue{Backend: "default", Queue: "queue-1", At: time.Now()}, 100)
			return err
		}},
		{"status", stats(queue.Filter{})},
		{"status of a queue", stats(queue.Filter{Queue: "queue-3"})},
		{"status of a backend", stats(queue.Filter{Backend: "default"})},
		{"purge --dry-run --days 0", count(0, "", final...)},
		{"purge --dry-run --days 7", count(7*day, "", final...)},
		{"purge --dry-run --days 7 --status FAILED", count(7*day, "", queue.StatusFailed)},
		{"purge --dry-run --days 7 --task NAME", count(7*day, "app.task_3", final...)},
		{"purge, a batch of 1,000", func(ctx context.Context) error {
			_, err := store.Purge(ctx, queue.PurgeRequest{Statuses: final, Age: 7 * day, Limit: 1000})
			return err
		}},
		{"Queues", func(ctx context.Context) error { _, err := store.Queues(ctx); return err }},
		{"Figures of a week", func(ctx context.Context) error {
			_, err := store.Figures(ctx, queue.FiguresRequest{Since: time.Now().Add(-7 * day).Truncate(time.Hour), Until: time.Now().Add(time.Hour)})
			return err
		}},
		{"Failures", func(ctx context.Context) error { _, err := store.Failures(ctx, time.Unix(0, 0), 100); return err }},
	}
	return append(list, pages(client)...), nil
}

// countAll counts until nothing is left; the first time that is all rows.
func countAll(ctx context.Context, store *pgstore.Store) error {
	for {
		more, err := store.CountFinished(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// everybody may open the pages.
type everybody struct{}

func (everybody) Identify(*http.Request) (admin.Person, error) {
	return admin.Person{Name: "bench"}, nil
}

// pages are those of the admin, each by a process that has not counted anything yet.
func pages(client *queue.Client) (list []call) {
	for _, p := range []struct{ name, path string }{
		{"overview", "/"}, {"tasks", "/tasks"}, {"tasks, failed", "/tasks?view=failed"}, {"tasks, pending", "/tasks?view=pending"},
		{"tasks of a queue", "/tasks?view=successful&queue=queue-3"}, {"tasks of a type", "/tasks?view=failed&task=app.task_3"},
		{"queues", "/queues"}, {"types", "/types"}, {"workers", "/workers"}, {"a task", "/tasks/" + uuid.NewString()},
	} {
		list = append(list, call{"admin: " + p.name, func(ctx context.Context) error {
			handler, err := admin.New(admin.Config{Client: client, Access: everybody{}, Prefix: "/admin"})
			if err != nil {
				return err
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/admin"+p.path, nil))
			if w.Code >= 500 {
				return fmt.Errorf("%d: %s", w.Code, w.Body)
			}
			return nil
		}})
	}
	return list
}
