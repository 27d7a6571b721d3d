package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
	"github.com/claimcheck-go/claimcheck/queue"
)

// key is the idempotency key of a request.
type key struct {
	name     string
	conflict string // as in the body of an enqueue
}

// keyCount is how many keys of each kind there are in a run: so few that producers meet.
const keyCount = 2

// keyPeriod is how long a row holds a key that begins with periodKey; a row holds any other
// until it has ended.
const (
	keyPeriod = 2 * time.Second
	periodKey = "period-"
)

// drawKey draws a key, and what happens if a row holds it.
func drawKey(random *rand.Rand, count int) key {
	name := []string{"unfinished-", "unfinished-", periodKey}[random.IntN(3)]
	return key{
		name:     fmt.Sprint(name, random.IntN(count)),
		conflict: []string{"return", "return", "return", "replace", "error"}[random.IntN(5)],
	}
}

func (k key) forPeriod() bool { return strings.HasPrefix(k.name, periodKey) }

// fields adds the key to the body of an enqueue.
func (k key) fields(body map[string]any) {
	if k.name == "" {
		return
	}
	body["unique_key"], body["on_conflict"] = k.name, k.conflict
	if k.forPeriod() {
		body["unique_for"] = keyPeriod.String()
	}
}

// option is the key as an option.
func (k key) option() queue.Option {
	options := []queue.UniqueOption{queue.OnConflict(map[string]queue.Conflict{
		"return": queue.ReturnExisting, "replace": queue.ReplaceExisting, "error": queue.RefuseDuplicate,
	}[k.conflict])}
	if k.forPeriod() {
		options = append(options, queue.UniqueFor(keyPeriod))
	}
	return queue.Unique(k.name, options...)
}

// answered returns the task that the answer to an enqueue names: the one that was stored,
// or the one that holds its key, also if the enqueue was refused for that.
func answered(status int, text string) (uuid.UUID, error) {
	var answer struct{ Result struct{ ID uuid.UUID } }
	if status == http.StatusOK || status == http.StatusCreated || status == http.StatusConflict {
		err := json.Unmarshal([]byte(text), &answer)
		if err == nil && answer.Result.ID != uuid.Nil {
			return answer.Result.ID, nil
		}
	}
	if status == http.StatusBadRequest || status == http.StatusConflict || status == http.StatusNotFound {
		return uuid.Nil, &refusedError{status, text}
	}
	return uuid.Nil, fmt.Errorf("%d %s", status, text)
}

// enqueued is answered for an enqueue in this process.
func enqueued(handle *queue.Handle, err error) (uuid.UUID, error) {
	var duplicate *queue.DuplicateError
	switch {
	case errors.As(err, &duplicate):
		return duplicate.Row.ID, nil
	case err != nil:
		return uuid.Nil, err
	}
	return handle.ID, nil
}

// The rules of keys.
const (
	ruleKey = "no two rows hold one key at once"
	ruleMet = "an enqueue whose key another row holds names that row"
)

// keys checks that at no time two rows held one key, and that what enqueues met exists.
func (v *verdict) keys(s state) {
	for id, p := range s.promises {
		if p.met == uuid.Nil {
			continue
		}
		if row, exists := s.rows[p.met]; !exists || row.key != p.key || row.task != p.task {
			v.broken(ruleMet, id, "%s with key %q was answered with %s: exists %t, task %q, key %q", p.task, p.key, p.met, exists, row.task, row.key)
		}
	}
	holders := make(map[string]string)
	ended := make(map[string]int64) // of the last period of each key
	for i := range s.entries {
		e := &s.entries[i]
		id, err := uuid.Parse(e.id)
		row := s.rows[id]
		if err != nil || row.key == "" {
			continue
		}
		// A row that was inserted by a later statement found the key free: what ended the
		// holder before has an earlier entry.
		switch {
		case e.status[0] == "" && strings.HasPrefix(row.key, periodKey):
			if row.enqueued+tolerance < ended[row.key] {
				v.broken(ruleKey, id, "%s was enqueued %d us before the period of another row with key %q ended", row.task, ended[row.key]-row.enqueued, row.key)
			}
			ended[row.key] = row.enqueued + keyPeriod.Microseconds()
		case e.status[0] == "":
			if holder := holders[row.key]; holder != "" {
				v.broken(ruleKey, id, "%s was stored while %s held key %q", row.task, holder, row.key)
			}
			holders[row.key] = e.id
		case final(e.status[1]) && holders[row.key] == e.id:
			delete(holders, row.key)
		}
	}
}

// keyed is what a producer enqueues with a key: its arguments depend on the key only, so
// that a task is the same after another one has replaced it.
func (o options) keyed(r *request, random *rand.Rand) {
	if r.name != tasks.Keyed.Name() {
		return
	}
	r.key = drawKey(random, o.keys)
	r.args = tasks.Args{Millis: 10 * len(r.key.name)}
}
