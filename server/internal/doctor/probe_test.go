package doctor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// What happens to the probe once the wait for it has ended decides what is reported.
func TestProbeThatEndsAfterTheWait(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		after  func(ctx context.Context, d *delivery, executor *queue.Executor) error
		status Status
		want   string
	}{
		"successful": {func(ctx context.Context, d *delivery, executor *queue.Executor) error {
			_, err := executor.RunByID(ctx, d.handle.ID, queue.RunOptions{})
			return err
		}, OK, "and finished, but not within 2s"},
		"cancelled": {func(ctx context.Context, d *delivery, _ *queue.Executor) error {
			_, _, err := d.client.Cancel(ctx, d.handle.ID)
			return err
		}, Fail, "cancelled by another program"},
		"purged": {func(ctx context.Context, d *delivery, executor *queue.Executor) error {
			_, err := executor.RunByID(ctx, d.handle.ID, queue.RunOptions{})
			d.forget(ctx) // as another doctor does
			return err
		}, Warn, "a purge deleted its row"},
		"nothing": {func(context.Context, *delivery, *queue.Executor) error { return nil }, Fail, "no worker pulls from queue default"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry(Probe())})
			if err != nil {
				t.Fatal(err)
			}
			executor, err := queue.NewExecutor(client, queue.ExecutorConfig{})
			if err != nil {
				t.Fatal(err)
			}
			d := &delivery{Diagnosis: &Diagnosis{mode: config.ModePull}, client: client}
			if d.handle, err = client.Enqueue(t.Context(), ProbeName, nil); err != nil {
				t.Fatal(err)
			}
			if err := tc.after(t.Context(), d, executor); err != nil {
				t.Fatal(err)
			}
			found := d.conclude(t.Context(), nil, 2*time.Second, fmt.Errorf("waiting: %w", context.DeadlineExceeded))
			if found.Status != tc.status || !strings.Contains(found.Detail, tc.want) {
				t.Errorf("%+v, want %s: %s", found, tc.status, tc.want)
			}
		})
	}
}
