package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A sweep counts, and figures outlive a purge.
func TestFiguresAfterASweepAndAPurge(t *testing.T) {
	task := queue.NewTaskFunc("t", func(context.Context, int) error { return errors.New("no") }, queue.MaxAttempts(1))
	s := newSystem(t, setup{}, task)
	s.run(s.enqueue("t", 1))
	check := func(when string) {
		t.Helper()
		figures, err := s.client.Figures(t.Context(), queue.FiguresRequest{Task: "t"})
		if err != nil || figures.Total().Failed != 1 || figures.Total().Run.Count() != 1 {
			t.Errorf("%s: %+v, %v", when, figures, err)
		}
	}
	check("at once")
	if _, err := s.client.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	check("after a sweep")
	if deleted, _, err := s.client.Purge(t.Context(), queue.PurgeRequest{Statuses: []queue.Status{queue.StatusFailed}}, nil); deleted != 1 || err != nil {
		t.Fatalf("%d deleted, %v", deleted, err)
	}
	check("after a purge")
}

// figureStore counts calls.
type figureStore struct {
	queue.Store
	queue.FigureStore
	counts  int
	request queue.FiguresRequest
}

func (s *figureStore) CountFigures(context.Context) (bool, error) {
	s.counts++
	return s.counts < 5, nil
}

func (s *figureStore) Figures(_ context.Context, r queue.FiguresRequest) (queue.Figures, error) {
	s.request = r
	return queue.Figures{}, nil
}

func TestASweepCountsUntilNothingIsLeft(t *testing.T) {
	store := &figureStore{Store: newStore(t)}
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Sweep(t.Context(), 0); err != nil || store.counts != 5 {
		t.Errorf("%d steps, %v", store.counts, err)
	}
}

func TestFiguresRequests(t *testing.T) {
	store := &figureStore{Store: newStore(t)}
	client, err := queue.NewClient(queue.Config{Store: store, Registry: queue.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	if _, err := client.Figures(t.Context(), queue.FiguresRequest{Since: hour.Add(time.Minute), Until: hour.Add(61 * time.Minute), Queue: "q"}); err != nil || store.request != (queue.FiguresRequest{Since: hour, Until: hour.Add(2 * time.Hour), Queue: "q"}) {
		t.Errorf("%+v, %v", store.request, err)
	}
	if _, err := client.Figures(t.Context(), queue.FiguresRequest{}); err != nil || store.request.Until.Sub(store.request.Since) != 24*time.Hour || store.request.Until.Before(time.Now()) {
		t.Errorf("%+v, %v", store.request, err)
	}
	for _, r := range []queue.FiguresRequest{{Since: hour, Until: hour}, {Since: hour, Until: hour.Add(-time.Hour)}, {Since: hour, Until: hour.AddDate(0, 0, 91)}} {
		if _, err := client.Figures(t.Context(), r); !errors.Is(err, queue.ErrInvalid) || !strings.Contains(err.Error(), "FiguresRequest") {
			t.Errorf("%+v: %v", r, err)
		}
	}
	client, err = queue.NewClient(queue.Config{Store: struct{ queue.Store }{store}, Registry: queue.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Figures(t.Context(), queue.FiguresRequest{}); !errors.Is(err, queue.ErrUnsupported) {
		t.Errorf("without figures: %v", err)
	}
}
