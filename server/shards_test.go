package server

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

func TestQueueAliasesGatherRepeatedNames(t *testing.T) {
	tests := []struct {
		env  string
		args []string
		want map[string][]string
	}{
		{"", nil, nil},
		{"default=prod-default", nil, map[string][]string{"default": {"prod-default"}}},
		{"emails=e-0,default=d,emails=e-1", nil, map[string][]string{"emails": {"e-0", "e-1"}, "default": {"d"}}},
		{" emails = e-0 ,, emails=e-1,", nil, map[string][]string{"emails": {"e-0", "e-1"}}},
		{"emails=e-0", []string{"--tasks-queue-aliases=emails=e-1,a=b", "--tasks-queue-aliases=emails=e-2"}, map[string][]string{"emails": {"e-1", "e-2"}, "a": {"b"}}},
	}
	for _, test := range tests {
		p, _, err := parsed(map[string]string{"TASKS_QUEUE_ALIASES": test.env}, append([]string{"serve"}, test.args...))
		if err != nil {
			t.Errorf("%q %q: %v", test.env, test.args, err)
			continue
		}
		if got := p.config.Settings.TasksQueueAliases; !maps.EqualFunc(got, test.want, slices.Equal) {
			t.Errorf("%q %q: %v, want %v", test.env, test.args, got, test.want)
		}
	}
	for _, wrong := range []string{"emails", "=e", "emails=", "a=b,emails"} {
		_, _, err := parsed(map[string]string{"TASKS_QUEUE_ALIASES": wrong}, []string{"serve"})
		if err == nil || !strings.Contains(err.Error(), "TASKS_QUEUE_ALIASES") || !strings.Contains(err.Error(), "default=prod-default") {
			t.Errorf("%q: %v; want an error that names the setting and says what it takes", wrong, err)
		}
	}
}

// shardTarget is the target of a server whose queue "default" has three shards.
func shardTarget() *config.Target {
	return &config.Target{Tasks: cloudtasks.Config{
		Project: "proc", Location: "europe-west1", QueueAliases: map[string][]string{"default": {"shard-0", "shard-1", "shard-2"}},
	}}
}

func TestATaskLinksToItsShard(t *testing.T) {
	seen := make(map[string]bool)
	for range 50 {
		row := &queue.Row{ID: uuid.New(), Queue: "default"}
		shard, err := shardTarget().Tasks.QueueID("default", row.ID)
		if err != nil {
			t.Fatal(err)
		}
		links := links(shardTarget(), row)
		if link := links[len(links)-1]; !strings.Contains(link.URL, "/europe-west1/"+shard+"/tasks") || !strings.HasSuffix(link.Name, shard) {
			t.Errorf("%s of %s links to %+v", row.ID, shard, link)
		}
		seen[shard] = true
	}
	if len(seen) != 3 {
		t.Errorf("only %v were seen", seen)
	}
}

// createQueue makes a queue in the cloud.
func (c *procCloud) createQueue(id string) {
	c.t.Helper()
	client, err := cloudtasks.Dial(c.t.Context(), cloudtasks.DialConfig{EmulatorHost: c.api})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	const location = "projects/proc/locations/europe-west1"
	_, err = client.CreateQueue(c.t.Context(), &cloudtaskspb.CreateQueueRequest{
		Parent: location, Queue: &cloudtaskspb.Queue{Name: location + "/queues/" + id},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// shardIDs are n IDs of tasks for each shard.
func shardIDs(t *testing.T, n int) map[string][]uuid.UUID {
	t.Helper()
	ids := map[string][]uuid.UUID{"shard-0": nil, "shard-1": nil, "shard-2": nil}
	for len(ids["shard-0"]) < n || len(ids["shard-1"]) < n || len(ids["shard-2"]) < n {
		id := uuid.Must(uuid.NewV7())
		shard, err := shardTarget().Tasks.QueueID("default", id)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids[shard]) < n {
			ids[shard] = append(ids[shard], id)
		}
	}
	return ids
}

// A queue over three shards, of which one does not exist: its tasks wait, say
// why, and keep no others waiting, not even behind them in a sweep. Once it
// exists, they run. Every task runs once.
func TestPushThroughShards(t *testing.T) {
	t.Parallel()
	c := procNewCloud(t)
	c.createQueue("shard-0")
	c.createQueue("shard-2")
	s := c.serve(t.TempDir(), c.env("TASKS_QUEUE_ALIASES=default=shard-0,default=shard-1,default=shard-2"))
	ids := shardIDs(t, 6)
	enqueue := func(id uuid.UUID) string {
		return s.enqueue(fmt.Sprintf(`{"task":"demo.echo","id":%q}`, id)).DispatchError
	}
	for i := range 4 {
		for _, shard := range []string{"shard-0", "shard-2"} {
			id := ids[shard][i]
			if said := enqueue(id); said != "" {
				t.Errorf("%s: %s", shard, said)
			}
			s.wantEnd(id, queue.StatusSuccessful, 1)
			if by := c.wantAnswers(id, http.StatusOK)[0].header.Get("X-Cloudtasks-Queuename"); by != shard {
				t.Errorf("a task of %s was delivered by %s", shard, by)
			}
		}
	}
	for _, id := range ids["shard-1"] {
		if said := enqueue(id); !strings.Contains(said, "gcloud tasks queues create shard-1 ") {
			t.Errorf("a task of the missing queue says %q", said)
		}
	}

	// Rows that other queues refused for another reason come after these.
	c.SetFaults(cloudtaskstest.Faults{Rates: map[cloudtaskstest.Fault]float64{cloudtaskstest.RefuseCreate: 1}, Code: codes.PermissionDenied})
	behind := slices.Concat(ids["shard-0"][4:], ids["shard-2"][4:])
	for _, id := range behind {
		enqueue(id)
	}
	c.SetFaults(cloudtaskstest.Faults{})
	if swept := s.do(http.MethodPost, "/tasks/sweep/", ""); swept.status != http.StatusOK || !strings.Contains(swept.text, `"dispatched":4,`) || !strings.Contains(swept.text, `"errors":6`) {
		t.Errorf("swept: %d %s", swept.status, swept.text)
	}
	for _, id := range behind {
		s.wantEnd(id, queue.StatusSuccessful, 1)
	}

	c.createQueue("shard-1")
	if swept := s.do(http.MethodPost, "/tasks/sweep/", ""); !strings.Contains(swept.text, `"dispatched":6,`) {
		t.Errorf("swept: %d %s", swept.status, swept.text)
	}
	for _, id := range ids["shard-1"] {
		s.wantEnd(id, queue.StatusSuccessful, 1)
		c.wantAnswers(id, http.StatusOK)
	}
}
