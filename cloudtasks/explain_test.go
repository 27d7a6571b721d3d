package cloudtasks

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestExplainNamesCauseAndFix(t *testing.T) {
	const parent = "projects/acme-prod/locations/europe-west1/queues/prod-emails"
	tests := []struct {
		code codes.Code
		says []string
	}{
		{codes.NotFound, []string{"gcloud tasks queues create prod-emails --location=europe-west1 --project=acme-prod",
			"service account", "a minute ago", "the aliases of queues", "the service account tasks@"}},
		{codes.PermissionDenied, []string{"roles/cloudtasks.enqueuer on the queue",
			"gcloud tasks queues add-iam-policy-binding prod-emails --location=europe-west1 --project=acme-prod --member=serviceAccount:ACCOUNT --role=roles/cloudtasks.enqueuer", "roles/iam.serviceAccountUser",
			"iam.serviceAccounts.actAs", "tasks@acme-prod.iam.gserviceaccount.com"}},
		{codes.Unauthenticated, []string{"gcloud auth application-default login"}},
		{codes.InvalidArgument, []string{"the handler's URL"}},
		{codes.FailedPrecondition, []string{"disabled"}},
		{codes.ResourceExhausted, []string{"quota"}},
		{codes.DeadlineExceeded, []string{"may exist all the same"}},
		{codes.Unavailable, []string{"cannot be reached", "emulator"}},
		{codes.Unimplemented, []string{"the address of the emulator"}},
		{codes.DataLoss, nil}, // a code without an explanation
	}
	for _, test := range tests {
		t.Run(test.code.String(), func(t *testing.T) {
			err := explain(status.Error(test.code, "the service's text"), testConfig(), parent)
			for _, want := range append(test.says, "queue prod-emails", "acme-prod", "the service's text") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || status.Code(fmt.Errorf("dispatch: %w", err)) != test.code {
				t.Errorf("%q: want one line, with the code still inside", err)
			}
		})
	}
}

func TestExplainForAppEngineNamesNoAccount(t *testing.T) {
	cfg := testConfig()
	cfg.AppEngine = &AppEngineTarget{}
	for _, code := range []codes.Code{codes.NotFound, codes.PermissionDenied, codes.InvalidArgument} {
		if text := remedy(code, cfg, "default"); strings.Contains(text, "the service account tasks@") || strings.Contains(text, "actAs") {
			t.Errorf("%s: %q", code, text)
		}
	}
}
