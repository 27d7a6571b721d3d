package cloudtasks_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/queue"
)

const defaultQueue = "projects/acme/locations/europe-west1/queues/default"

// withFake runs f in a synctest bubble, with a Dispatcher whose real client
// talks to the fake, and a list of the paths that were called.
func withFake(t *testing.T, change func(*cloudtaskstest.Config), f func(t *testing.T, d *cloudtasks.Dispatcher, srv *cloudtaskstest.Server, called func() []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan string, 100)
		cfg := cloudtaskstest.Config{
			Queues:  []*cloudtaskspb.Queue{{Name: defaultQueue}},
			Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { calls <- r.Method + " " + r.URL.String() }),
		}
		if change != nil {
			change(&cfg)
		}
		srv, client := cloudtaskstest.Start(t, cfg)
		d, err := cloudtasks.New(client, cloudtasks.Config{
			Project: "acme", Location: "europe-west1",
			HandlerURL:          "https://worker.example/tasks/execute/{task_id}/",
			ServiceAccountEmail: "tasks@acme.iam.gserviceaccount.com",
		})
		if err != nil {
			t.Fatal(err)
		}
		f(t, d, srv, func() (all []string) {
			if err := srv.WaitEmpty(t.Context()); err != nil {
				t.Fatal(err)
			}
			for len(calls) > 0 {
				all = append(all, <-calls)
			}
			return all
		})
	})
}

func TestTicketArrivesAtTheHandlerWhenDue(t *testing.T) {
	withFake(t, nil, func(t *testing.T, d *cloudtasks.Dispatcher, _ *cloudtaskstest.Server, called func() []string) {
		id, start := uuid.New(), time.Now()
		if err := d.Dispatch(t.Context(), queue.Ticket{ID: id, Queue: "default", DueAt: start.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		got := called()
		if want := "POST /tasks/execute/" + id.String() + "/?fail_on_error=true"; len(got) != 1 || got[0] != want {
			t.Errorf("called %q, want %s", got, want)
		}
		if time.Since(start) != time.Hour {
			t.Errorf("after %s, want 1h", time.Since(start))
		}
	})
}

func TestNamedTicketsAreCreatedOnce(t *testing.T) {
	withFake(t, nil, func(t *testing.T, d *cloudtasks.Dispatcher, srv *cloudtaskstest.Server, called func() []string) {
		named := queue.Ticket{ID: uuid.New(), Queue: "default", Name: "9f2c-1"}
		for range 3 { // while it is there, and when it is gone
			if err := d.Dispatch(t.Context(), named); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got := called(); len(got) != 1 || srv.Stats().Created != 1 {
			t.Errorf("called %q, stats %+v", got, srv.Stats())
		}
	})
}

func TestMissingQueueIsExplained(t *testing.T) {
	withFake(t, nil, func(t *testing.T, d *cloudtasks.Dispatcher, _ *cloudtaskstest.Server, called func() []string) {
		id := uuid.New()
		err := d.Dispatch(t.Context(), queue.Ticket{ID: id, Queue: "emails"}, queue.Ticket{ID: uuid.New(), Queue: "default"})
		var failed *queue.DispatchError
		if !errors.As(err, &failed) || len(failed.Failed) != 1 || status.Code(failed.Failed[id]) != codes.NotFound {
			t.Fatalf("err = %v", err)
		}
		if !strings.Contains(err.Error(), "gcloud tasks queues create emails") {
			t.Error(err)
		}
		if got := called(); len(got) != 1 {
			t.Errorf("called %q", got)
		}
	})
}

func TestFaultyServiceCostsDuplicatesAndLosesNothing(t *testing.T) {
	withFake(t, func(c *cloudtaskstest.Config) {
		c.Faults = cloudtaskstest.Faults{Seed: 1, Rates: map[cloudtaskstest.Fault]float64{
			cloudtaskstest.RefuseCreate: .1, cloudtaskstest.StoreAndFail: .1, cloudtaskstest.LoseAnswer: .1, cloudtaskstest.Duplicate: .1,
		}}
	}, func(t *testing.T, d *cloudtasks.Dispatcher, srv *cloudtaskstest.Server, called func() []string) {
		tickets := make([]queue.Ticket, 50)
		for i := range tickets {
			tickets[i] = queue.Ticket{ID: uuid.New(), Queue: "default"}
		}
		if err := d.Dispatch(t.Context(), tickets...); err != nil {
			t.Fatal(err)
		}
		arrived := strings.Join(called(), "\n")
		for _, ticket := range tickets {
			if !strings.Contains(arrived, ticket.ID.String()) {
				t.Errorf("%s was lost", ticket.ID)
			}
		}
		for _, fault := range []cloudtaskstest.Fault{cloudtaskstest.RefuseCreate, cloudtaskstest.StoreAndFail, cloudtaskstest.LoseAnswer, cloudtaskstest.Duplicate} {
			if srv.Stats().Faults[fault] == 0 {
				t.Errorf("no %s happened", fault)
			}
		}
	})
}

func TestServiceDownFailsWithinTheDeadline(t *testing.T) {
	withFake(t, func(c *cloudtaskstest.Config) {
		c.Faults.Rates = map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: 1}
	}, func(t *testing.T, d *cloudtasks.Dispatcher, _ *cloudtaskstest.Server, _ func() []string) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := d.Dispatch(ctx, queue.Ticket{ID: uuid.New(), Queue: "default"})
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "cannot be reached") {
			t.Errorf("err = %v, ctx %v", err, ctx.Err())
		}
	})
}
