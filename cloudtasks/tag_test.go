package cloudtasks

import (
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestWithoutTag(t *testing.T) {
	for given, want := range map[string]string{
		"https://green---api-123.europe-west1.run.app/tasks/execute/{task_id}/": "https://api-123.europe-west1.run.app/tasks/execute/{task_id}/",
		"https://green---api-abc-ew.a.run.app":                                  "https://api-abc-ew.a.run.app",
		"http://green---api-123.europe-west1.run.app:8080/x":                    "http://api-123.europe-west1.run.app:8080/x",
		"https://api-123.europe-west1.run.app/a---b":                            "https://api-123.europe-west1.run.app/a---b",
		"https://green---api.example.com/x":                                     "https://green---api.example.com/x",
		"https://green---api.example.com/.run.app":                              "https://green---api.example.com/.run.app",
		"": "",
	} {
		if got := WithoutTag(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

func TestTicketsArePinnedUnlessTheyMayGoAnywhere(t *testing.T) {
	const green, service = "https://green---api-123.europe-west1.run.app", "https://api-123.europe-west1.run.app"
	for anywhere, want := range map[bool]string{false: green, true: service} {
		cfg := testConfig()
		cfg.HandlerURL, cfg.Audience = green+DefaultHandlerPath, ""
		cfg, err := cfg.check()
		if err != nil {
			t.Fatal(err)
		}
		request, err := newCreateTaskRequest(cfg, queue.Ticket{ID: testID, Queue: "default", AnyVersion: anywhere}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		got := request.GetTask().GetHttpRequest()
		if got.GetUrl() != want+"/tasks/execute/"+testID.String()+"/"+query || got.GetOidcToken().GetAudience() != service {
			t.Errorf("anywhere %t: %v", anywhere, got)
		}
	}
	for anywhere, want := range map[bool]string{false: "v7", true: ""} {
		cfg := testConfig()
		cfg.AppEngine = &AppEngineTarget{Service: "worker", Version: "v7"}
		cfg, err := cfg.check()
		if err != nil {
			t.Fatal(err)
		}
		request, err := newCreateTaskRequest(cfg, queue.Ticket{ID: testID, Queue: "default", AnyVersion: anywhere}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		routing := request.GetTask().GetAppEngineHttpRequest().GetAppEngineRouting()
		if routing.GetService() != "worker" || routing.GetVersion() != want {
			t.Errorf("anywhere %t: %v", anywhere, routing)
		}
	}
}
