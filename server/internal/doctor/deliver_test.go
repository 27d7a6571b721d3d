package doctor

import (
	"testing"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// The queue is named with its location and project: gcloud's own defaults may be others.
func TestQueueOfACloudTask(t *testing.T) {
	const task = "projects/proj/locations/europe-west1/queues/emails/tasks/123"
	if got := describeCommand(task); got != "gcloud tasks queues describe emails --location=europe-west1 --project=proj" {
		t.Error(got)
	}
}

// Cloud Tasks keeps the HTTP status of an answer in its text.
func TestAnswerCodePrefersTheHTTPStatus(t *testing.T) {
	for text, want := range map[string]codes.Code{
		"HTTP status code 401": codes.Unauthenticated, "HTTP status code 403": codes.PermissionDenied,
		"HTTP status code 404": codes.NotFound, "HTTP status code 500": codes.Internal, "": codes.Internal,
	} {
		if got := answerCode(&rpcstatus.Status{Code: int32(codes.Internal), Message: text}); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// A clock is judged by what is certain: its offset less the doubt about it.
func TestClockIsClassifiedByWhatIsCertain(t *testing.T) {
	for off, want := range map[time.Duration]Status{
		0: OK, 2 * time.Second: OK, -2 * time.Second: OK, 4 * time.Second: Warn, -4 * time.Second: Warn, 2 * time.Minute: Fail,
	} {
		if got := classifyClock(off, time.Second, "a clock", "fix", "it matters"); got.Status != want {
			t.Errorf("%s: %+v, want %s", off, got, want)
		}
	}
}
