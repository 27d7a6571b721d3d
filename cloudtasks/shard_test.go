package cloudtasks

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// shardNames are the IDs of n queues.
func shardNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("prod-emails-", i)
	}
	return names
}

func sharded(names []string) Config {
	cfg := testConfig()
	cfg.QueueAliases = map[string][]string{"emails": names}
	return cfg
}

// place is the queue of a task.
func place(t *testing.T, cfg Config, task uuid.UUID) string {
	t.Helper()
	id, err := cfg.QueueID("emails", task)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// IDs made one after the other share their time; IDs that people choose may be
// nothing but a counter, at either end.
func TestShardsGetAboutAsMany(t *testing.T) {
	const perShard = 4000
	kinds := map[string]func(i int) uuid.UUID{
		"version 7": func(int) uuid.UUID { return uuid.Must(uuid.NewV7()) },
		"counted at the end": func(i int) uuid.UUID {
			return uuid.UUID{12: byte(i >> 24), 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}
		},
		"counted at the start": func(i int) uuid.UUID {
			return uuid.UUID{0: byte(i >> 24), 1: byte(i >> 16), 2: byte(i >> 8), 3: byte(i)}
		},
	}
	for kind, id := range kinds {
		for _, n := range []int{2, 3, 4, 7, 16} {
			cfg := sharded(shardNames(n))
			got := make(map[string]int)
			for i := range n * perShard {
				got[place(t, cfg, id(i))]++
			}
			// Chance alone spreads 4,000 by 63 (a standard deviation); five times
			// that is not chance.
			for _, name := range shardNames(n) {
				if got[name] < perShard-320 || got[name] > perShard+320 {
					t.Errorf("%s: %s of %d got %d tasks, want about %d", kind, name, n, got[name], perShard)
				}
			}
		}
	}
}

// The place of a row must not change from one version to the next, or with the
// order in which the queues are named: a sweeper's name is only known to be taken
// in the queue where it was.
func TestATaskKeepsItsShard(t *testing.T) {
	names := shardNames(4)
	reversed := slices.Clone(names)
	slices.Reverse(reversed)
	want := []string{"prod-emails-1", "prod-emails-1", "prod-emails-1", "prod-emails-3", "prod-emails-1", "prod-emails-1"}
	for i, name := range want {
		task := testID
		task[15] = byte(i)
		if got := place(t, sharded(names), task); got != name {
			t.Errorf("task %d is in %s, want %s", i, got, name)
		}
		if got := place(t, sharded(reversed), task); got != name {
			t.Errorf("task %d is in %s when the queues are named in another order, want %s", i, got, name)
		}
	}
}

func TestOneShardMoreTakesOnlyItsShare(t *testing.T) {
	before, after := sharded(shardNames(4)), sharded(shardNames(5))
	moved := 0
	const tasks = 10_000
	for range tasks {
		task := uuid.Must(uuid.NewV7())
		was, is := place(t, before, task), place(t, after, task)
		if was != is {
			moved++
			if is != "prod-emails-4" {
				t.Fatalf("%s went from %s to %s", task, was, is)
			}
		}
	}
	if moved < tasks/5-200 || moved > tasks/5+200 {
		t.Errorf("%d of %d tasks moved, want a fifth", moved, tasks)
	}
}

func TestShardIsWhereTheTicketGoes(t *testing.T) {
	d, err := New(nil, sharded(shardNames(3)))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		ticket := queue.Ticket{ID: uuid.New(), Queue: "emails"}
		request, err := newCreateTaskRequest(d.cfg, ticket, testNow)
		if err != nil {
			t.Fatal(err)
		}
		name, of := d.Shard(ticket)
		if want := "projects/acme-prod/locations/europe-west1/queues/" + name; request.GetParent() != want || of != 3 {
			t.Errorf("the ticket goes to %s, its shard is %s of %d", request.GetParent(), name, of)
		}
	}
	if name, of := d.Shard(queue.Ticket{Queue: "default"}); name != "default" || of != 1 {
		t.Errorf("a queue without alias is shard %s of %d", name, of)
	}
	if name, of := d.Shard(queue.Ticket{Queue: "a_b"}); name != "" || of != 1 {
		t.Errorf("a queue that cannot be one is shard %q of %d", name, of)
	}
}

func TestConfigKeepsItsOwnAliases(t *testing.T) {
	names := shardNames(2)
	d, err := New(nil, sharded(names))
	if err != nil {
		t.Fatal(err)
	}
	names[0], names[1] = "other", "other"
	if name, _ := d.Shard(queue.Ticket{ID: uuid.New(), Queue: "emails"}); name == "other" {
		t.Error("the caller's slice is still the dispatcher's")
	}
}
