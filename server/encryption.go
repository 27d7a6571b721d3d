package server

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fatih/color"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// codec returns what encrypts tasks; nil if nothing does. uses reports that the command
// enqueues or runs tasks, for which those that must be encrypted need it.
func (p *program) codec(uses bool) (queue.Codec, error) {
	keyring, err := p.config.Keyring(os.ReadFile)
	switch {
	case err != nil:
		return nil, err
	case p.own.Codec != nil && keyring != nil:
		return nil, config.Problemf("TASKS_ENCRYPTION_KEYS", "is set, and the program has a Codec of its own (Config.Codec): leave one of them out")
	case p.own.Codec != nil:
		return p.own.Codec, nil
	case keyring != nil:
		return keyring, nil
	}
	for _, task := range p.known.Tasks() {
		if uses && task.Encrypted {
			return nil, config.Problemf("TASKS_ENCRYPTION_KEYS", "is required: task %s is never stored in plain text (queue.Encrypt); %s keys new makes keys", task.Name, p.name)
		}
	}
	return nil, nil //nolint:nilnil // nothing is encrypted
}

type keysCmd struct {
	Action string `arg:"" optional:"" enum:"list,new" default:"list" help:"list (the default) or new."`
	ID     string `arg:"" optional:"" name:"id" help:"Of the new key, to which eight digits that depend on its secret are added; by default the date."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help describes the rotation, and shows examples.
func (*keysCmd) Help() string {
	return `list counts the tasks, schedules and groups (with a task still to be enqueued at
their end) that each key encrypts, and names keys that this program lacks. A key that none has, and that is not the first, can be removed.

new prints a key, and where TASKS_ENCRYPTION_KEYS is not set yet, the key for hashes
too, which never changes. It stores nothing. To rotate: add a new key at the end
and deploy all programs; move it to the front, and deploy them again; remove the
old key when list counts nothing of it.

Examples:
  {name} keys new > keys.txt
  TASKS_ENCRYPTION_KEYS_FILE=keys.txt {name} keys
  {name} keys new 2027-01`
}

// Run lists the keys, or makes one.
func (c *keysCmd) Run(ctx context.Context, p *program) error {
	if c.Action == "new" {
		return c.new(p)
	}
	if c.ID != "" {
		return usagef("keys list takes no key: it lists all")
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	keys, err := listKeys(ctx, app.client, p.own.Codec == nil)
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	if c.JSON {
		return p.printJSON(struct {
			Keys []listedKey `json:"keys"`
		}{keys})
	}
	p.nameDatabase(false)
	t := p.newTable()
	t.head("KEY", "WAITING OR RUNNING", "ENDED", "SCHEDULES", "GROUPS", "THIS PROGRAM")
	for _, k := range keys {
		t.row(plain(k.ID), plain(fmt.Sprint(k.Live)), plain(fmt.Sprint(k.Ended)), plain(fmt.Sprint(k.Schedules)), plain(fmt.Sprint(k.Groups)), k.use())
	}
	return t.print(p.stdout)
}

// new prints keys as the setting takes them.
func (c *keysCmd) new(p *program) error {
	if c.JSON {
		return config.Problemf("--json", "belongs to keys list")
	}
	id := c.ID
	if id == "" {
		id = time.Now().UTC().Format(time.DateOnly)
	}
	key := aead.NewKey(id)
	if !queue.ValidKeyID(id) || !queue.ValidKeyID(key.ID) || id == aead.HashKey {
		return usagef("the ID of a key must be 1 to %d letters, digits, \"-\", \"_\" or \".\", and not %s, not %.80q", aead.MaxID, aead.HashKey, id)
	}
	keyring, err := p.config.Keyring(os.ReadFile)
	if err != nil {
		return usageError{err}
	}
	var lines []string
	if keyring == nil {
		lines = append(lines, aead.NewKey(aead.HashKey).String())
	}
	_, err = fmt.Fprintln(p.stdout, strings.Join(append(lines, key.String()), "\n"))
	return err
}

// listedKey is a key in a list.
type listedKey struct {
	ID        string `json:"key_id"`
	Live      int    `json:"live_count"`
	Ended     int    `json:"ended_count"`
	Schedules int    `json:"schedule_count"`
	Groups    int    `json:"group_count"` // that have still to enqueue a task
	Known     bool   `json:"known"`       // to this program
	Current   bool   `json:"current"`     // it encrypts new tasks
	same      string // a key of this program with the same short ID, and so another secret
}

func (k listedKey) use() cell {
	switch {
	case k.Current:
		return plain("encrypts with it")
	case k.Known:
		return plain("decrypts with it")
	}
	if k.same != "" {
		return coloured("lacks it: its "+k.same+" has another secret", color.FgYellow)
	}
	return coloured("lacks it", color.FgYellow)
}

// listKeys returns the keys of this program in their order, and then those that it lacks.
// ours reports that their IDs are those of package aead.
func listKeys(ctx context.Context, client *queue.Client, ours bool) ([]listedKey, error) {
	counts, err := client.CountKeys(ctx)
	if err != nil {
		return nil, err
	}
	keys := []listedKey{}
	for i, id := range client.Keys() {
		keys = append(keys, listedKey{ID: id, Known: true, Current: i == 0})
	}
	for _, n := range counts {
		i := slices.IndexFunc(keys, func(k listedKey) bool { return k.ID == n.KeyID })
		if i < 0 {
			i, keys = len(keys), append(keys, listedKey{ID: n.KeyID})
			if ours {
				keys[i].same = aead.SameShortID(client.Keys(), n.KeyID)
			}
		}
		keys[i].Live, keys[i].Ended, keys[i].Schedules, keys[i].Groups = n.Live, n.Ended, n.Schedules, n.Groups
	}
	return keys, nil
}
