package cloudrunjobs_test

import (
	"context"
	"fmt"
	"log"

	run "cloud.google.com/go/run/apiv2"

	"github.com/claimcheck-go/claimcheck/cloudrunjobs"
	"github.com/claimcheck-go/claimcheck/queue"
)

// Tasks that take hours run in a job of their own, beside those that Cloud Tasks
// delivers to the service.
func ExampleNew() {
	ctx := context.Background()
	client, err := run.NewJobsClient(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	job, err := cloudrunjobs.New(client, cloudrunjobs.FullName("acme", "europe-west1", "long-tasks"))
	if err != nil {
		log.Fatal(err)
	}
	config := queue.Config{
		Backends: map[string]queue.Backend{"jobs": {Dispatcher: job}}, // beside Store, Registry, Dispatcher, …
	}
	fmt.Println(len(config.Backends))
}

// A job is named in full: its project, its region and its name.
func ExampleCheckName() {
	fmt.Println(cloudrunjobs.CheckName("long-tasks"))
	fmt.Println(cloudrunjobs.CheckName(cloudrunjobs.FullName("acme", "europe-west1", "long-tasks")))
	// Output:
	// the name of a job must be projects/PROJECT/locations/REGION/jobs/NAME, not "long-tasks"
	// <nil>
}
