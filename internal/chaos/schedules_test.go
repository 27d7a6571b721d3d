package chaos

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/chaos/tasks"
)

// The schedules of a run, all of each second.
const (
	everySecond = "every-second" // nothing of it may be missing
	inPauses    = "in-pauses"    // in a queue that is paused now and then
	withKey     = "with-key"     // whose tasks have a key that producers use, too

	withKeyOf = "unfinished-0"
)

// schedule makes the schedules, while nothing fails yet.
func (r *run) schedule() {
	r.t.Helper()
	for name, more := range map[string]map[string]any{
		everySecond: {},
		inPauses:    {"queue_name": pausable},
		withKey:     {"unique_key": withKeyOf, "task": tasks.Keyed.Name(), "args": tasks.Args{Millis: 300}},
	} {
		body := map[string]any{"task": tasks.Scheduled.Name(), "args": tasks.Args{Millis: 50}, "spec": "@every 1s", "catch_up": "all"}
		for field, value := range more {
			body[field] = value
		}
		status, text, err := r.send(http.MethodPut, "/tasks/schedules/"+name+"/", body)
		if err != nil || status != http.StatusCreated {
			r.t.Fatalf("schedule %s: %d %s %v", name, status, text, err)
		}
	}
	now, known := r.databaseClock()
	if !known {
		r.t.Fatal("the database does not answer")
	}
	r.scheduled = now
}

// tick is a tick of a scheduler, which several of them call at once.
func (r *run) tick(context.Context) {
	status, text, err := r.post("/tasks/tick/", map[string]any{})
	if err == nil && status == http.StatusOK {
		var answer struct{ Enqueued int }
		_ = json.Unmarshal([]byte(text), &answer)
		r.tally.add("tick", 1)
		r.tally.add("occurrences of ticks", answer.Enqueued)
	}
}

// tickByGo is a tick in this process.
func (r *run) tickByGo(ctx context.Context) {
	if r.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, frontTimeout)
	defer cancel()
	if _, err := r.client.Tick(ctx, 0); err == nil {
		r.tally.add("tick in Go", 1)
	}
}

// endSchedules enqueues what is due, and then pauses the schedules, so that the run ends.
func (r *run) endSchedules() {
	giveUp := time.Now().Add(r.options.drain)
	for done := false; !done && time.Now().Before(giveUp); time.Sleep(50 * time.Millisecond) {
		now, known := r.databaseClock()
		r.tick(context.Background())
		var next int64
		err := r.site.db.QueryRow(`SELECT min(` + r.site.micros("next_at") + `) FROM claimcheck_schedules`).Scan(&next)
		if done = known && err == nil && next > now; done {
			r.ticked = now
		}
	}
	for _, name := range []string{everySecond, inPauses, withKey} {
		for time.Now().Before(giveUp) {
			if status, _, err := r.post("/tasks/schedules/"+name+"/pause/", map[string]any{}); err == nil && status == http.StatusOK {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// The rules of schedules.
const (
	ruleOnce     = "each occurrence of a schedule is enqueued once"
	ruleEach     = "no occurrence of a schedule is missing"
	ruleOccurred = "an occurrence names its task, or the one that held the key"
)

// occurrences checks the tasks of the schedules, also while a run goes on.
func (v *verdict) occurrences(s state) {
	made := make(map[string]map[int64]uuid.UUID)
	for id, row := range s.rows {
		if row.schedule == "" {
			continue
		}
		if made[row.schedule] == nil {
			made[row.schedule] = make(map[int64]uuid.UUID)
		}
		if twin, twice := made[row.schedule][row.scheduledFor]; twice {
			v.broken(ruleOnce, id, "%s at %d is also %s", row.schedule, row.scheduledFor, twin)
		}
		made[row.schedule][row.scheduledFor] = id
	}
	for _, name := range []string{everySecond, inPauses} {
		v.eachSecond(name, made[name])
	}
	for _, o := range s.occurrences {
		row, exists := s.rows[o.task]
		own := row.schedule == o.schedule && row.scheduledFor == o.at
		if !exists || own != (o.skipped == "") || !own && (o.schedule != withKey || row.key != withKeyOf) {
			v.broken(ruleOccurred, o.task, "%s at %d: skipped %q, exists %t, %+v", o.schedule, o.at, o.skipped, exists, row)
		}
	}
}

// eachSecond checks that each second has an occurrence, from the first one that was made,
// and at the end of a run from its start until its end.
func (v *verdict) eachSecond(name string, made map[int64]uuid.UUID) {
	const second = 1_000_000
	times := slices.Sorted(maps.Keys(made))
	if len(times) == 0 {
		return // ruleFaults reports it at the end
	}
	first, last := times[0], times[len(times)-1]
	for at := first; at <= last; at += second {
		if _, ok := made[at]; !ok {
			v.broken(ruleEach, uuid.Nil, "%s has none at %d, %d s after the first", name, at, (at-first)/second)
		}
	}
	r := v.run
	if first > r.scheduled+second || r.ticked > 0 && last <= r.ticked-second {
		v.broken(ruleEach, uuid.Nil, "%s has occurrences from %d until %d, and ran from %d until %d", name, first, last, r.scheduled, r.ticked)
	}
}

// occurrence is one entry of the history of a schedule.
type occurrence struct {
	schedule string
	at       int64
	task     uuid.UUID
	skipped  string
}

// readOccurrences reads the history of all schedules.
func (r *run) readOccurrences(ctx context.Context) (all []occurrence, err error) {
	var o occurrence
	err = each(ctx, r.site.db, `SELECT schedule, `+r.site.micros("scheduled_for")+`, task_id, coalesce(skipped, '') FROM claimcheck_occurrences WHERE task_id IS NOT NULL`,
		func() { all = append(all, o) }, &o.schedule, &o.at, &o.task, &o.skipped)
	return all, err
}
