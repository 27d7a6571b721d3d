package cloudtasks

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// maxShards is how many Cloud Tasks queues one queue of tasks may have. The
// service takes 6 million calls a minute of a project, and dispatches at most 500
// tasks a second from a queue: a project cannot fill more than 200.
const maxShards = 200

// checkAliases returns what is wrong with aliases, as sentences that follow
// the name of the field.
func checkAliases(aliases map[string][]string) (problems []string) {
	for _, name := range slices.Sorted(maps.Keys(aliases)) {
		ids := aliases[name]
		switch {
		case len(ids) == 0:
			problems = append(problems, fmt.Sprintf("maps %q to nothing (it takes %s=QUEUE)", name, name))
		case len(ids) > maxShards:
			problems = append(problems, fmt.Sprintf("maps %q to %d Cloud Tasks queues (at most %d: the service takes no more calls of a project than they dispatch)", name, len(ids), maxShards))
		}
		for i, id := range ids {
			switch {
			case !validQueueID(id):
				problems = append(problems, fmt.Sprintf("maps %q to %q (a Cloud Tasks queue ID is 1 to 100 letters, digits and hyphens)", name, id))
			case slices.Contains(ids[:i], id):
				problems = append(problems, fmt.Sprintf("maps %q to %q twice (each of its Cloud Tasks queues once)", name, id))
			}
		}
	}
	return problems
}

// QueueIDs returns the Cloud Tasks queues that share the tickets of a queue of
// tasks; without an alias it is the one of the same name.
func (cfg Config) QueueIDs(name string) ([]string, error) {
	if ids := cfg.QueueAliases[name]; len(ids) > 0 {
		return ids, nil
	}
	if err := checkQueueID(name); err != nil {
		return nil, err
	}
	return []string{name}, nil
}

// checkQueueID returns why the name of a queue of tasks cannot be a Cloud Tasks
// queue's ID too.
func checkQueueID(name string) error {
	if validQueueID(name) {
		return nil
	}
	return fmt.Errorf("queue %q cannot be a Cloud Tasks queue, whose ID is 1 to 100 letters, digits and hyphens; choose another name, or give it an alias that can be one", name)
}

// QueueID returns the Cloud Tasks queue that the tickets of a task go through.
// It depends on nothing but the task's ID and the names of the queues, in any
// order: all tickets of a row, whichever process sends them and when, go through
// one queue, where a name is known to be taken. A further queue takes its share
// from each of the others, and changes nothing else.
func (cfg Config) QueueID(name string, task uuid.UUID) (string, error) {
	ids := cfg.QueueAliases[name]
	if len(ids) == 0 {
		return name, checkQueueID(name)
	}
	best, most := ids[0], uint64(0)
	if len(ids) == 1 {
		return best, nil
	}
	for _, id := range ids {
		// Two queues never have the same weight, but for one chance in 2⁶⁴, where
		// the order of names decides.
		if weight := weigh(id, task); weight > most || weight == most && id < best {
			best, most = id, weight
		}
	}
	return best, nil
}

// weigh returns the weight of a queue for a task: the queue with the highest gets
// it (rendezvous hashing). It hashes all bytes of the task's ID, since those of a
// UUIDv7 begin with the time.
func weigh(queueID string, task uuid.UUID) uint64 {
	return xxhash.Sum64(append([]byte(queueID), task[:]...))
}

// Shard returns the Cloud Tasks queue that a ticket goes through, and how many its
// queue has.
func (d *Dispatcher) Shard(ticket queue.Ticket) (name string, of int) {
	ids, err := d.cfg.QueueIDs(ticket.Queue)
	if err != nil {
		return "", 1 // Dispatch says why
	}
	name, _ = d.cfg.QueueID(ticket.Queue, ticket.ID)
	return name, len(ids)
}
