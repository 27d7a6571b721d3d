package detect_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/claimcheck-go/claimcheck/detect"
)

// The values of this process, and what to do where one is missing.
func ExampleProject() {
	project, err := detect.Project(context.Background())
	var missing *detect.Error
	if errors.As(err, &missing) {
		log.Fatalf("set PROJECT: the %s was not detected: %v", missing.Piece, missing.Err)
	}
	fmt.Println(project.Value, "from", project.Source)
}

// A program that runs on Cloud Run and elsewhere.
func ExampleIsCloudRun() {
	address := "127.0.0.1:8080"
	if detect.IsCloudRun() || detect.IsAppEngine() {
		address = ":" + os.Getenv("PORT")
	}
	fmt.Println(address)
	// Output: 127.0.0.1:8080
}

func ExampleDetector_Environment() {
	variables := map[string]string{"GAE_APPLICATION": "s~staging", "GAE_SERVICE": "worker", "CLOUD_RUN_REGION": "us-central1"}
	d := detect.New(detect.Config{
		Getenv:        func(name string) string { return variables[name] },
		AppEngineHost: "staging.uc.r.appspot.com",
	})
	e := d.Environment(context.Background())
	fmt.Println(e.Platform)
	fmt.Println(e.Project.Value, "from", e.Project.Source)
	fmt.Println(e.HandlerHost.Value)
	fmt.Println(e.ServiceAccount.Value)
	// Output:
	// App Engine
	// staging from variable GAE_APPLICATION
	// worker-dot-staging.uc.r.appspot.com
	// staging@appspot.gserviceaccount.com
}

func ExampleDetector_Project() {
	d := detect.New(detect.Config{Getenv: func(string) string { return "" }})
	_, err := d.Project(context.Background())
	fmt.Println(err)
	// Output:
	// project not detected: variable GOOGLE_CLOUD_PROJECT is not set; no variable says that this is Cloud Run or App Engine, so the metadata server was not asked; set the variable GOOGLE_CLOUD_PROJECT, or name the project where it is needed (cloudtasks.Config.Project)
}
