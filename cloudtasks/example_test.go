package cloudtasks_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/queue"
)

// In production the client comes from Dial; here it is that of the fake.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	srv, err := cloudtaskstest.New(cloudtaskstest.Config{AutoCreate: cloudtaskstest.AnyQueue})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	client, err := srv.Client(ctx) // cloudtasks.Dial(ctx, cloudtasks.DialConfig{})
	if err != nil {
		log.Fatal(err)
	}

	dispatcher, err := cloudtasks.New(client, cloudtasks.Config{
		Project:             "acme-prod",
		Location:            "europe-west1",
		HandlerURL:          "https://worker-123.europe-west1.run.app/tasks/execute/{task_id}/",
		ServiceAccountEmail: "tasks@acme-prod.iam.gserviceaccount.com",
	})
	if err != nil {
		log.Fatal(err)
	}
	err = dispatcher.Dispatch(ctx, queue.Ticket{
		ID:    uuid.MustParse("0195528e-7c00-7000-8000-0123456789ab"),
		Queue: "default",
		DueAt: time.Now().Add(time.Hour),
	})
	fmt.Println(err)
	for _, task := range srv.Tasks() {
		fmt.Println(task.GetHttpRequest().GetUrl())
		fmt.Println(task.GetHttpRequest().GetOidcToken().GetAudience())
	}
	// Output:
	// <nil>
	// https://worker-123.europe-west1.run.app/tasks/execute/0195528e-7c00-7000-8000-0123456789ab/?fail_on_error=true
	// https://worker-123.europe-west1.run.app
}

// Several queues of Cloud Tasks share the tickets of one queue of tasks: each
// delivers at most 500 a second.
func ExampleConfig_QueueID() {
	cfg := cloudtasks.Config{QueueAliases: map[string][]string{"emails": {"emails-0", "emails-1", "emails-2"}}}
	for _, id := range []string{"0195528e-7c00-7000-8000-000000000001", "0195528e-7c00-7000-8000-00000000000a"} {
		queueID, err := cfg.QueueID("emails", uuid.MustParse(id))
		fmt.Println(queueID, err)
	}
	// Output:
	// emails-1 <nil>
	// emails-2 <nil>
}

// An emulator is called in plaintext and without credentials.
func ExampleDial() {
	client, err := cloudtasks.Dial(context.Background(), cloudtasks.DialConfig{EmulatorHost: "127.0.0.1:8123"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }() // the first call makes the connection
	fmt.Println("ready")
	// Output: ready
}

// New reports all fields that are missing or wrong at once.
func ExampleNew_errors() {
	_, err := cloudtasks.New(nil, cloudtasks.Config{
		Location:            "europe-west1",
		HandlerURL:          "https://worker.example/tasks/execute/",
		ServiceAccountEmail: "tasks@acme-prod.iam.gserviceaccount.com",
	})
	fmt.Println(err)
	// Output:
	// cloudtasks: Config.Project is not set (it takes a project ID like acme-prod)
	// cloudtasks: Config.HandlerURL has the path "/tasks/execute/" (it must contain {task_id} once)
}
