package detect_test

import (
	"context"
	"fmt"

	"github.com/claimcheck-go/claimcheck/detect"
)

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
