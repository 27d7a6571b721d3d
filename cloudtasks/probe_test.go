package cloudtasks_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

var probeConfig = cloudtasks.Config{
	Project: "acme", Location: "europe-west1", HandlerURL: "https://worker.example/tasks/execute/{task_id}/",
	ServiceAccountEmail: "tasks@acme.iam.gserviceaccount.com", QueueAliases: map[string][]string{"default": {"elsewhere"}},
}

func TestProbeLeavesNothingBehind(t *testing.T) {
	var seen []string
	srv, client := cloudtaskstest.Start(t, cloudtaskstest.Config{
		Queues: []*cloudtaskspb.Queue{{Name: defaultQueue}},
		Faults: cloudtaskstest.Faults{Decide: func(_ cloudtaskstest.Fault, name string) bool {
			seen = append(seen, name)
			return false
		}},
	})
	if create, remove := cloudtasks.Probe(t.Context(), client, probeConfig, "default"); create != nil || remove != nil {
		t.Fatal(create, remove)
	}
	if tasks := srv.Tasks(); len(tasks) != 0 || srv.Stats().Created != 1 {
		t.Errorf("left behind: %v", tasks)
	}
	if len(seen) == 0 || !strings.HasPrefix(seen[0], defaultQueue+"/tasks/"+cloudtasks.ProbePrefix) {
		t.Errorf("it was called %q", seen)
	}

	// A task that the probe may not delete is like a delivery, scheduled far ahead.
	srv.SetFaults(cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseDelete: 1}, Code: codes.PermissionDenied})
	create, remove := cloudtasks.Probe(t.Context(), client, probeConfig, "default")
	var left *cloudtasks.LeftoverError
	if create != nil || status.Code(remove) != codes.PermissionDenied || !errors.As(remove, &left) || !strings.HasPrefix(left.Name, cloudtasks.ProbePrefix) {
		t.Error(create, remove)
	}
	tasks := srv.Tasks()
	if len(tasks) != 1 {
		t.Fatalf("%d tasks", len(tasks))
	}
	ahead := time.Until(tasks[0].GetScheduleTime().AsTime())
	if r := tasks[0].GetHttpRequest(); ahead < 24*24*time.Hour || ahead > 25*24*time.Hour ||
		r.GetUrl() != "https://worker.example/tasks/execute/00000000-0000-0000-0000-000000000000/?fail_on_error=true" ||
		r.GetOidcToken().GetServiceAccountEmail() != probeConfig.ServiceAccountEmail {
		t.Errorf("%v", tasks[0])
	}
}

func TestProbeReportsWhatIsRefused(t *testing.T) {
	const lacks = `The principal (user or service account) lacks IAM permission "%s" for the resource "%s" (or the resource may not exist).`
	srv, client := cloudtaskstest.Start(t, cloudtaskstest.Config{Queues: []*cloudtaskspb.Queue{{Name: defaultQueue}}})
	for text, want := range map[string]cloudtasks.Refusal{
		fmt.Sprintf(lacks, "cloudtasks.tasks.create", defaultQueue):                                  cloudtasks.RefusedQueue,
		fmt.Sprintf(lacks, "iam.serviceAccounts.actAs", "tasks@acme.iam.gserviceaccount.com"):        cloudtasks.RefusedAccount,
		"Cloud Tasks API has not been used in project acme before or it is disabled. Enable it by …": cloudtasks.RefusedDisabled,
		"The caller does not have permission":                                                        cloudtasks.RefusedUnknown,
	} {
		srv.SetFaults(cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: 1}, Code: codes.PermissionDenied, Text: text})
		create, _ := cloudtasks.Probe(t.Context(), client, probeConfig, "default")
		if status.Code(create) != codes.PermissionDenied || !strings.Contains(create.Error(), text) {
			t.Errorf("%v", create)
		}
		if got := cloudtasks.WhyRefused(create); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	var wrong *cloudtasks.ConfigError
	if create, _ := cloudtasks.Probe(t.Context(), client, cloudtasks.Config{}, "default"); !errors.As(create, &wrong) {
		t.Error(create)
	}
	if create, _ := cloudtasks.Probe(t.Context(), client, probeConfig, "not_a_queue"); create == nil || !strings.Contains(create.Error(), "not_a_queue") {
		t.Error(create)
	}
}
