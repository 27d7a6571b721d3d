package cloudtaskstest_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

// A handler that fails at first gets its task again. In a test, use Start, and
// testing/synctest to make the waiting free.
func Example() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tasks/execute/{id}/", func(w http.ResponseWriter, r *http.Request) {
		retries := r.Header.Get("X-CloudTasks-TaskRetryCount")
		fmt.Println("task", r.PathValue("id"), "retries", retries)
		if retries == "0" {
			http.Error(w, "not yet", http.StatusInternalServerError)
		}
	})
	srv, err := cloudtaskstest.New(cloudtaskstest.Config{Handler: mux, AutoCreate: cloudtaskstest.AnyQueue})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := srv.Client(ctx)
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.CreateTask(ctx, &cloudtaskspb.CreateTaskRequest{
		Parent: "projects/acme/locations/europe-west1/queues/default",
		Task: &cloudtaskspb.Task{MessageType: &cloudtaskspb.Task_HttpRequest{HttpRequest: &cloudtaskspb.HttpRequest{
			Url: "https://worker.example/tasks/execute/42/",
		}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := srv.WaitEmpty(ctx); err != nil {
		log.Fatal(err)
	}
	stats := srv.Stats()
	fmt.Println(stats.Delivered, "deliveries,", stats.Succeeded, "success")
	// Output:
	// task 42 retries 0
	// task 42 retries 1
	// 2 deliveries, 1 success
}
