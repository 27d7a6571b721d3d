package doctor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
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
	db, err := stores.As[queue.KeyCounter](d.db)
	if err != nil {
		return Skipf("%s", err)
	}
	counts, err := db.CountKeys(ctx)
	if err != nil {
		return Failf("", "%s", err)
	}
	var unknown, unused []string
	live := 0
	for _, n := range counts {
		if !slices.Contains(known, n.KeyID) {
			unknown, live = append(unknown, n.KeyID), live+n.Live
		}
	}
	for _, key := range known[min(1, len(known)):] {
		if !slices.ContainsFunc(counts, func(n queue.KeyCount) bool { return n.KeyID == key }) {
			unused = append(unused, key)
		}
	}
	switch {
	case len(unknown) > 0:
		return Warnf("add these keys to TASKS_ENCRYPTION_KEYS, or purge the tasks",
			"tasks are encrypted with keys that this program does not have: %s; %d of them wait or run, and wait for a program that has the key", strings.Join(unknown, ", "), live)
	case len(unused) > 0:
		return Okf("%s; no task has %s, which can be removed once no program has it first and %s keys counts no schedule of it", encryptsWith(known), strings.Join(unused, ", "), d.Name)
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
