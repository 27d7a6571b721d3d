// Command webhooks delivers events to the servers of tenants: signed with the tenant's own
// secret, retried while a server is down, and limited for each tenant, so that one of them
// delays no other. What has failed for good is replayed in the admin.
//
// "go run ." serves on 127.0.0.1:8080, and brings servers of three tenants with it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server"
	"github.com/claimcheck-go/claimcheck/server/webhook"
)

// Deliver is the task: at most two run at once for a tenant, and ten start within a second,
// in all processes together.
var Deliver = queue.Declare[Event, webhook.Result]("webhooks.deliver", queue.OnQueue("webhooks"),
	queue.MaxAttempts(8), queue.Timeout(30*time.Second),
	queue.LimitKey(func(e Event) string { return e.Tenant }), queue.LimitRunningEach(2), queue.LimitStartsEach(10, time.Second))

// Event are the arguments of Deliver. The tenant's secret is not among them.
type Event struct {
	Tenant string          `json:"tenant"`
	Kind   string          `json:"kind"`
	Data   json.RawMessage `json:"data"`
}

// tenant is where events of a tenant go; a program has it in its database.
type tenant struct {
	url    string
	sender *webhook.Sender
}

type tenants map[string]tenant

// add registers a tenant. allow are hosts that may be called although they are not public:
// none in production, because tenants choose their URLs.
func (t tenants) add(name, url, secret string, allow ...string) error {
	sender, err := webhook.NewSender(webhook.Config{Secret: secret, AllowHosts: allow})
	t[name] = tenant{url, sender}
	return err
}

// deliver is the task's function.
func (t tenants) deliver(ctx context.Context, e Event) (webhook.Result, error) {
	to, ok := t[e.Tenant]
	if !ok {
		return webhook.Result{}, queue.Discard(fmt.Errorf("tenant %q is not known", e.Tenant))
	}
	body, err := json.Marshal(map[string]any{"type": e.Kind, "data": e.Data})
	if err != nil {
		return webhook.Result{}, queue.Discard(err)
	}
	return to.sender.Send(ctx, webhook.Args{URL: to.url, Body: body})
}

// accept takes an event from the rest of the program: POST /events/TENANT/KIND.
func (t tenants) accept(client *queue.Client) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 256<<10))
		e := Event{Tenant: r.PathValue("tenant"), Kind: r.PathValue("kind"), Data: data}
		switch {
		case err != nil || !json.Valid(data):
			http.Error(w, "the body must be at most 256 KiB of JSON", http.StatusBadRequest)
			return
		case t[e.Tenant].sender == nil:
			http.Error(w, "no such tenant", http.StatusNotFound)
			return
		}
		handle, err := Deliver.Enqueue(r.Context(), client, e)
		if err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintln(w, handle.ID)
	}
}

func main() {
	receivers, err := startReceivers(os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
	all, err := receivers.tenants()
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(server.Run(context.Background(), server.Config{
		Tasks: []queue.Definition{Deliver.Handle(all.deliver)},
		Handler: func(app *server.App) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("POST /events/{tenant}/{kind}", all.accept(app.Client()))
			mux.HandleFunc("POST /repair/{tenant}", func(_ http.ResponseWriter, r *http.Request) { receivers.repair(r.PathValue("tenant")) })
			return mux
		},
	}, os.Args[1:]))
}
