package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/queuetest"
	"github.com/claimcheck-go/claimcheck/server/pushtest"
)

func open(t *testing.T) (*receivers, tenants) {
	t.Helper()
	r, err := startReceivers(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.tenants()
	if err != nil {
		t.Fatal(err)
	}
	return r, all
}

// send sends an event to the program.
func send(t *testing.T, all tenants, client *queue.Client, path, body string) int {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("POST /events/{tenant}/{kind}", all.accept(client))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
	return w.Code
}

func TestEventsAreSignedAndRetried(t *testing.T) {
	r, all := open(t)
	client, _ := queuetest.New(t, Deliver.Handle(all.deliver))
	for path, want := range map[string]int{"/events/acme/order.paid": 202, "/events/globex/order.paid": 202, "/events/hooli/order.paid": 404} {
		if got := send(t, all, client, path, `{"order":1}`); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	queuetest.RequireEnqueued(t, client, Deliver, queuetest.LimitKey("acme"), queuetest.Args(Event{"acme", "order.paid", []byte(`{"order":1}`)}))
	queuetest.DrainFor(t, client, time.Minute)
	queuetest.RequireEnqueued(t, client, Deliver, queuetest.Status(queue.StatusSuccessful), queuetest.Times(2))
	if got := queuetest.RequireEnqueued(t, client, Deliver, queuetest.LimitKey("globex")); got.Attempts != 3 {
		t.Errorf("%d attempts", got.Attempts)
	}
	if got := r.accepted(); !slices.Contains(got, `globex {"data":{"order":1},"type":"order.paid"}`) || len(got) != 2 {
		t.Errorf("accepted %q", got)
	}
}

func TestNoTenantDelaysAnother(t *testing.T) {
	_, all := open(t)
	client, clock := queuetest.New(t, Deliver.Handle(all.deliver))
	began := clock.Now()
	for i := range 25 {
		send(t, all, client, "/events/acme/order.paid", fmt.Sprint(i))
	}
	send(t, all, client, "/events/initech/order.paid", "1")
	queuetest.DrainFor(t, client, 10*time.Second)
	starts := make(map[time.Duration]int)
	for _, e := range queuetest.All(t, client, Deliver) {
		starts[e.StartedAt.Sub(began)]++
	}
	if starts[0] != 11 || starts[time.Second] != 10 || starts[2*time.Second] != 5 {
		t.Errorf("starts: %v", starts) // ten a second of acme, and the one of initech at once
	}
}

func TestWhatHasFailedIsReplayed(t *testing.T) {
	r, all := open(t)
	client, _ := queuetest.New(t, Deliver.Handle(all.deliver))
	send(t, all, client, "/events/initech/order.paid", "1")
	queuetest.Drain(t, client)
	queuetest.RequireEnqueued(t, client, Deliver, queuetest.Status(queue.StatusFailed)) // 410 is for good

	r.repair("initech")
	failed := queue.Selection{View: queue.ViewFailed, Task: Deliver.Name()}
	if _, err := client.Act(t.Context(), queue.ActRequest{Action: queue.ActionRetry, Selection: failed}, nil); err != nil { // the admin's Retry
		t.Fatal(err)
	}
	queuetest.Drain(t, client)
	queuetest.RequireEnqueued(t, client, Deliver, queuetest.Status(queue.StatusSuccessful))
}

// The whole way: row, Cloud Task, HTTP request with a token, webhook.
func TestThroughCloudTasks(t *testing.T) {
	r, all := open(t)
	p := pushtest.Start(t, queue.Config{Registry: queue.NewRegistry(Deliver.Handle(all.deliver))})
	for _, name := range []string{"acme", "globex"} {
		send(t, all, p.Client, "/events/"+name+"/order.paid", `{"order":1}`)
	}
	p.Wait(t, 30*time.Second)
	if got := r.accepted(); len(got) != 2 {
		t.Errorf("accepted %q", got)
	}
}
