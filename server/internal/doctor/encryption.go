package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// checkEncryption compares the keys of the stored tasks with those of this program.
func (d *Diagnosis) checkEncryption(ctx context.Context) Finding {
	keyring, err := d.config.Keyring(os.ReadFile)
	if err != nil {
		return Failf("correct TASKS_ENCRYPTION_KEYS", "%s", err)
	}
	var known []string
	if keyring != nil {
		known = keyring.Keys()
	}
	if d.OwnKeys != nil {
		known = d.OwnKeys
	}
	if d.file != "" || d.db == nil {
		return Okf("%s; there is no database yet", encryptsWith(known))
	}
	client, err := queue.NewClient(queue.Config{Store: d.db, Registry: queue.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return Failf("", "%s", err)
	}
	counts, err := client.CountKeys(ctx)
	switch {
	case errors.Is(err, queue.ErrUnsupported):
		return Skipf("%s", err)
	case err != nil:
		return Failf("", "%s", err)
	}
	var unknown, unused []string
	var lacking queue.KeyCount
	for _, n := range counts {
		if !slices.Contains(known, n.KeyID) {
			name := n.KeyID
			if same := aead.SameShortID(known, n.KeyID); d.OwnKeys == nil && same != "" {
				name += " (its " + same + " has another secret)"
			}
			unknown = append(unknown, name)
			lacking.Live, lacking.Schedules, lacking.Groups = lacking.Live+n.Live, lacking.Schedules+n.Schedules, lacking.Groups+n.Groups
		}
	}
	for _, key := range known[min(1, len(known)):] {
		if !slices.ContainsFunc(counts, func(n queue.KeyCount) bool { return n.KeyID == key }) {
			unused = append(unused, key)
		}
	}
	switch {
	case len(unknown) > 0:
		return Warnf("add these keys to TASKS_ENCRYPTION_KEYS, or remove what they encrypt",
			"the database has keys that this program does not have: %s; they encrypt %s, %s, and %s with a task to enqueue, which wait for a program that has them",
			strings.Join(unknown, ", "), api.CountOf(lacking.Live, "unfinished task"), api.CountOf(lacking.Schedules, "schedule"), api.CountOf(lacking.Groups, "group"))
	case len(unused) > 0:
		return Okf("%s; no task, schedule or group has %s, which can be removed once no program has it first", encryptsWith(known), strings.Join(unused, ", "))
	}
	return Okf("%s", encryptsWith(known))
}

func encryptsWith(known []string) string {
	switch len(known) {
	case 0:
		return "tasks are not encrypted"
	case 1:
		return "new tasks are encrypted with key " + known[0]
	}
	return fmt.Sprintf("new tasks are encrypted with key %s; %s decrypt too", known[0], strings.Join(known[1:], ", "))
}
