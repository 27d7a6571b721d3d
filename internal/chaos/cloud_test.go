package chaos

import (
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

// account is the account of Cloud Tasks' tokens.
const account = "tasks@chaos.iam.gserviceaccount.com"

// cloud is the fake Cloud Tasks of one run.
type cloud struct {
	*cloudtaskstest.Server
	seed  uint64
	api   string // host:port
	certs *httptest.Server
}

// cloudFaults each happen to one call in twenty.
var cloudFaults = map[cloudtaskstest.Fault]float64{
	cloudtaskstest.Duplicate: 0.05, cloudtaskstest.LoseAnswer: 0.05,
	cloudtaskstest.RefuseCreate: 0.05, cloudtaskstest.StoreAndFail: 0.05,
	cloudtaskstest.Delay: 0.05,
}

func newCloud(t *testing.T, seed uint64) *cloud {
	t.Helper()
	c := &cloud{seed: seed}
	c.certs = httptest.NewUnstartedServer(nil)
	c.certs.Start()
	t.Cleanup(c.certs.Close)
	var err error
	c.Server, err = cloudtaskstest.New(cloudtaskstest.Config{
		Issuer: c.certs.URL, Faults: cloudtaskstest.Faults{Rates: cloudFaults, Seed: seed},
		Queues: []*cloudtaskspb.Queue{cloudQueue("default"), cloudQueue(pausable), cloudQueue(limited)},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.certs.Config.Handler = c.Certs()
	t.Cleanup(c.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.api = listener.Addr().String()
	go func() { _ = c.Serve(listener) }()
	return c
}

// outage makes Cloud Tasks refuse all calls, or ends that.
func (c *cloud) outage(refuse bool) {
	rates := cloudFaults
	if refuse {
		rates = map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: 1}
	}
	c.SetFaults(cloudtaskstest.Faults{Rates: rates, Seed: c.seed})
}

// calm ends all faults.
func (c *cloud) calm() { c.SetFaults(cloudtaskstest.Faults{}) }

// cloudQueue is a queue with short pauses.
func cloudQueue(name string) *cloudtaskspb.Queue {
	return &cloudtaskspb.Queue{
		Name: "projects/chaos/locations/europe-west1/queues/" + name,
		RetryConfig: &cloudtaskspb.RetryConfig{
			MinBackoff: durationpb.New(100 * time.Millisecond), MaxBackoff: durationpb.New(time.Second),
		},
	}
}
