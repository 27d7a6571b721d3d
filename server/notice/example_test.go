package notice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/notice"
)

// A program registers the task, and gives the hooks to its client. Whatever sweeps then
// looks for problems. With package server, TASKS_NOTICE_URL does all of this.
func Example() {
	ctx := context.Background()
	received := make(chan notice.Message, 1)
	chat := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m notice.Message
		if json.NewDecoder(r.Body).Decode(&m) == nil {
			received <- m
		}
	}))
	defer chat.Close()
	at, _ := url.Parse(chat.URL)

	notices, err := notice.New(notice.Config{
		URL:        chat.URL,
		AllowHosts: []string{at.Host}, // it has a loopback address
		AdminURL:   "https://shop.example.com/admin",
		Failures:   2,
		Interval:   10 * time.Millisecond, // leave it out for five minutes
	})
	if err != nil {
		log.Fatal(err)
	}
	charge := queue.NewTask("billing.charge", func(context.Context, int) (any, error) { return nil, errors.New("the bank is closed") }, queue.MaxAttempts(1))
	store, err := sqlitestore.Open(ctx, sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	client, err := queue.StartLocal(ctx, queue.Config{Store: store, Registry: queue.NewRegistry(charge, notices.Task()), Hooks: notices.Hooks()})
	if err != nil {
		log.Fatal(err)
	}
	for customer := range 2 {
		if _, err := charge.Enqueue(ctx, client, customer); err != nil {
			log.Fatal(err)
		}
	}
	sweeping, stop := context.WithCancel(ctx)
	defer stop()
	go client.SweepEvery(sweeping, 10*time.Millisecond) // a minute is enough

	problem := (<-received).Problems[0]
	fmt.Println(problem.Title)
	fmt.Println(problem.URL)
	// Output:
	// 2 tasks named billing.charge are FAILED with the same error
	// https://shop.example.com/admin/tasks?task=billing.charge&view=failed
}
