package webhook_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/webhook"
)

// A program registers what New returns, and enqueues Deliver. With package server,
// New is called in Config.Setup.
func Example() {
	ctx := context.Background()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("received %s, signed: %t\n", body, r.Header.Get("Webhook-Signature") != "")
	}))
	defer receiver.Close()
	at, _ := url.Parse(receiver.URL)

	deliver, err := webhook.New(webhook.Config{
		Secret:     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		AllowHosts: []string{at.Host}, // it has a loopback address
	})
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	client, err := queue.StartLocal(ctx, queue.Config{Store: store, Registry: queue.NewRegistry(deliver)})
	if err != nil {
		log.Fatal(err)
	}

	task, err := webhook.Deliver.Enqueue(ctx, client, webhook.Args{URL: receiver.URL, Body: []byte(`{"order":1}`)})
	if err != nil {
		log.Fatal(err)
	}
	result, err := webhook.Deliver.Wait(ctx, client, task.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the receiver answered", result.Status)
	// Output:
	// received {"order":1}, signed: true
	// the receiver answered 200
}

// A task of the program's own: at most two run at once for each tenant.
func ExampleSender() {
	type event struct{ Tenant, URL string }
	sender, err := webhook.NewSender(webhook.Config{Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	if err != nil {
		log.Fatal(err)
	}
	deliver := queue.NewTask("tenants.webhook", func(ctx context.Context, e event) (webhook.Result, error) {
		return sender.Send(ctx, webhook.Args{URL: e.URL, Body: []byte(`{}`)})
	}, queue.LimitKey(func(e event) string { return e.Tenant }), queue.LimitRunningEach(2), queue.MaxAttempts(8))
	fmt.Println(deliver.Name())
	// Output: tenants.webhook
}
