package cloudtasks_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/queue"
)

// shards is one queue of tasks over three Cloud Tasks queues, of which the fake
// has those that exist.
type shards struct {
	*cloudtasks.Dispatcher
	srv *cloudtaskstest.Server

	mu    sync.Mutex
	calls map[string][]string // the queues that delivered each ID
}

func startShards(t *testing.T, exist ...string) *shards {
	t.Helper()
	s := &shards{calls: map[string][]string{}}
	cfg := cloudtaskstest.Config{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		id := strings.Split(r.URL.Path, "/")[3]
		s.calls[id] = append(s.calls[id], r.Header.Get("X-Cloudtasks-Queuename"))
	})}
	for _, id := range exist {
		cfg.Queues = append(cfg.Queues, &cloudtaskspb.Queue{Name: "projects/acme/locations/europe-west1/queues/" + id})
	}
	var client cloudtasks.TaskCreator
	s.srv, client = cloudtaskstest.Start(t, cfg)
	var err error
	s.Dispatcher, err = cloudtasks.New(client, cloudtasks.Config{
		Project: "acme", Location: "europe-west1",
		HandlerURL:          "https://worker.example/tasks/execute/{task_id}/",
		ServiceAccountEmail: "tasks@acme.iam.gserviceaccount.com",
		QueueAliases:        map[string][]string{"emails": {"emails-0", "emails-1", "emails-2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func emails(n int) []queue.Ticket {
	tickets := make([]queue.Ticket, n)
	for i := range tickets {
		id := uuid.Must(uuid.NewV7())
		tickets[i] = queue.Ticket{ID: id, Queue: "emails", Name: "swept-" + id.String()}
	}
	return tickets
}

func TestEveryShardDeliversItsTicketsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startShards(t, "emails-0", "emails-1", "emails-2")
		tickets := emails(60)
		// A sweeper repeats names: each must meet the first one where that was.
		for range 2 {
			if err := s.Dispatch(t.Context(), tickets...); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.srv.WaitEmpty(t.Context()); err != nil {
			t.Fatal(err)
		}
		used := make(map[string]int)
		for _, ticket := range tickets {
			want, _ := s.Shard(ticket)
			if got := s.calls[ticket.ID.String()]; len(got) != 1 || got[0] != want {
				t.Errorf("%s was delivered by %q, want once by %s", ticket.ID, got, want)
			}
			used[want]++
		}
		if len(used) != 3 {
			t.Errorf("tickets went through %v", used)
		}
	})
}

func TestAMissingShardRefusesOnlyItsOwnTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startShards(t, "emails-0", "emails-2")
		tickets := emails(60)
		err := s.Dispatch(t.Context(), tickets...)
		var failed *queue.DispatchError
		if !errors.As(err, &failed) {
			t.Fatalf("err = %v", err)
		}
		if err := s.srv.WaitEmpty(t.Context()); err != nil {
			t.Fatal(err)
		}
		refused := 0
		for _, ticket := range tickets {
			shard, _ := s.Shard(ticket)
			said, delivered := failed.Failed[ticket.ID], len(s.calls[ticket.ID.String()])
			if shard != "emails-1" {
				if said != nil || delivered != 1 {
					t.Errorf("a ticket of %s: %v, delivered %d times", shard, said, delivered)
				}
				continue
			}
			refused++
			want := fmt.Sprintf("gcloud tasks queues create %s --location=europe-west1 --project=acme", shard)
			if status.Code(said) != codes.NotFound || !strings.Contains(fmt.Sprint(said), want) || delivered != 0 {
				t.Errorf("a ticket of %s: %v, delivered %d times", shard, said, delivered)
			}
		}
		if refused == 0 || refused == len(tickets) || refused != len(failed.Failed) {
			t.Errorf("%d of %d tickets belong to the missing queue, %d were refused", refused, len(tickets), len(failed.Failed))
		}
	})
}
