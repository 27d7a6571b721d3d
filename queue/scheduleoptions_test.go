package queue_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Every option of an enqueue is applied to the tasks of a schedule, or refused where the
// schedule is defined.
func TestOptionsThatDoNotFitASchedule(t *testing.T) {
	s := newSystem(t, setup{}, nightly)
	for want, option := range map[string]queue.Option{
		"Delay is not an option of a schedule: an occurrence is due at its time, so change the spec":                          queue.Delay(time.Second),
		"RunAfter is not an option of a schedule: an occurrence is due at its time, so change the spec":                       queue.RunAfter(time.Now()),
		"WithID is not an option of a schedule: each task of a schedule has its own ID, so use Unique":                        queue.WithID([16]byte{1}),
		"ExpiresAt is not an option of a schedule: use ExpiresIn, which counts from the time of each occurrence":              queue.ExpiresAt(time.Now()),
		"OnConflict is not an option of a schedule: leave it out: an occurrence whose key another task holds is not enqueued": queue.Unique("k", queue.OnConflict(queue.RefuseDuplicate)),
		"Alias is not an option of a schedule: pass it to NewTask or Declare":                                                 queue.Alias("old"),
		"Backoff is not an option of a schedule: pass it to NewTask or Declare":                                               queue.Backoff(queue.Exponential(time.Second, time.Minute)),
		"StrictArgs is not an option of a schedule: pass it to NewTask or Declare":                                            queue.StrictArgs(),
		"A limit is not an option of a schedule: pass LimitRunning":                                                           queue.LimitRunning(1),
		"expires_in of a schedule must be at least 1s, not 1ms":                                                               queue.ExpiresIn(time.Millisecond),
		"expires_in must be longer than 0, not 0s":                                                                            queue.ExpiresIn(0),
		"expires_in must be longer than 0, not -1ns":                                                                          queue.ExpiresIn(-1),
		"keep must be from 0":                        queue.Keep(-1, 0),
		"max_attempts must be a whole number from 1": queue.MaxAttempts(0),
		"priority must be a whole number":            queue.Priority(1000),
		"unique_key must be 1 to 200 bytes":          queue.Unique(""),
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.HasPrefix(text, `queue: schedule "s": `) || !strings.Contains(text, want) {
					t.Errorf("Every: %s, want %s", text, want)
				}
			}()
			queue.Every("s", "@daily", nightly, 1, option)
		}()
		_, _, err := s.client.PutSchedule(t.Context(), queue.ScheduleRequest{Name: "s", Task: "t.nightly", Spec: "@daily", Args: 1, Options: []queue.Option{option}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("PutSchedule: %v, want %s", err, want)
		}
	}
	for want, option := range map[string]queue.Option{
		"the function of UniqueBy returns no key for the arguments of the schedule": queue.UniqueBy(func(int) string { return "" }),
		"the function of LimitKey returns no key for the arguments of the schedule": queue.LimitKey(func(int) string { return "" }),
		"the function of UniqueBy takes the type string":                            queue.UniqueBy(func(string) string { return "" }),
	} {
		_, err := queue.NewClient(queue.Config{Store: newStore(t), Registry: queue.NewRegistry(nightly, queue.Every("s", "@daily", nightly, 1, option))})
		if err == nil || !strings.Contains(err.Error(), `schedule "s": `+want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Options are part of the definition: changing one in the code stores the schedule again.
func TestOptionsAreInTheDefinition(t *testing.T) {
	store := newStore(t)
	letter := queue.NewTaskFunc("t.letter", func(context.Context, queue.Failed) error { return nil })
	hashes := make(map[string]int)
	for i, option := range []queue.Option{
		queue.Priority(0), queue.MaxAttempts(9), queue.Timeout(time.Second), queue.Keep(time.Hour, time.Hour), queue.Keep(time.Hour, 2*time.Hour), queue.ExpiresIn(time.Hour),
		queue.Unique("a"), queue.Unique("a", queue.WhileKept()), queue.Unique("a", queue.UniqueFor(time.Hour)), queue.UniqueArgs(), queue.OnFailed(letter),
		queue.UniqueBy(func(n int) string { return fmt.Sprint(n) }), queue.LimitKey(func(int) string { return "tenant" }),
	} {
		s := program(t, store, "app", letter, queue.Every("s", "@daily", nightly, 1, option))
		hash := s.schedule("s").Definition
		if before, same := hashes[hash]; same {
			t.Errorf("options %d and %d are the same definition", before, i)
		}
		hashes[hash] = i
	}
}

func TestExpiryOfOccurrences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short := queue.NewTaskFunc("t.short", func(context.Context, string) error { return nil }, queue.ExpiresIn(30*time.Second))
		s := newSystem(t, setup{}, short)
		s.put(queue.ScheduleRequest{Name: "task", Task: "t.short", Spec: "0 * * * *"})
		s.put(queue.ScheduleRequest{Name: "own", Task: "t.short", Spec: "0 * * * *", CatchUp: queue.CatchUpAll, Options: []queue.Option{queue.ExpiresIn(90 * time.Minute)}})
		time.Sleep(59 * time.Minute)
		wantEqual(t, "ahead", s.tick(time.Minute), 2)
		row := s.row(s.schedule("task").LastTaskID)
		wantEqual(t, "expires after its time", row.ExpiresAt.Sub(row.ScheduledFor), 30*time.Second)
		time.Sleep(time.Minute)
		wantEqual(t, "run at its time", s.run(row.ID).Row.Status, queue.StatusSuccessful)
		time.Sleep(4*time.Hour + 10*time.Minute) // 05:10
		wantEqual(t, "enqueued after an outage", s.tick(0), 2)
		wantEqual(t, "of the task's 30s", s.times("task"), []string{"01:00", "02:00 missed", "05:00 expired"})
		wantEqual(t, "of the schedule's 90m", s.times("own"), []string{"01:00", "03:00 expired", "04:00", "05:00"})
		row = s.row(s.schedule("own").LastTaskID)
		wantEqual(t, "expires", row.ExpiresAt.Format("15:04"), "06:30")
	})
}

// What a task makes of its arguments is made anew when a schedule keeps its options.
func TestKeptOptionsOfSchedules(t *testing.T) {
	self := func(in string) string { return in }
	keyed := queue.NewTask("t.keyed", func(context.Context, string) (any, error) { return nil, nil }, queue.UniqueBy(self), queue.LimitKey(self))
	s := newSystem(t, setup{}, keyed)
	request := queue.ScheduleRequest{Name: "s", Task: "t.keyed", Spec: "@daily", Args: "a", Options: []queue.Option{queue.Priority(5)}}
	s.put(request)
	s.put(queue.ScheduleRequest{Name: "s", Task: "t.keyed", Spec: "@daily", Args: "b", Keep: true})
	got := s.schedule("s")
	wantEqual(t, "kept", []any{got.Priority, got.Options.UniqueKey, got.Options.LimitKey}, []any{5, "b", "b"})
	request.Options = []queue.Option{queue.Unique("own")}
	s.put(request)
	made := s.put(queue.ScheduleRequest{Name: "s", Task: "t.keyed", Spec: "@daily", Args: "b", Keep: true})
	wantEqual(t, "its own key", []any{made.Kept, made.Options.UniqueKey, made.Options.LimitKey}, []any{true, "own", "b"})
	request.Keep = true
	if _, _, err := s.client.PutSchedule(t.Context(), request); err == nil || !strings.Contains(err.Error(), "Keep excludes Paused and Options") {
		t.Errorf("%v", err)
	}
}

// An occurrence with a key is not enqueued ahead of its time: a row may hold the key until
// then, and an enqueue in the meantime would meet a task that waits.
func TestOccurrencesWithKeysAreNotAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, setup{}, nightly)
		s.put(queue.ScheduleRequest{Name: "s", Task: "t.nightly", Spec: "0 * * * *", Args: 1, Options: []queue.Option{queue.Unique("k")}})
		time.Sleep(59*time.Minute + 30*time.Second)
		wantEqual(t, "ahead", s.tick(time.Minute), 0)
		held := s.enqueue("t.nightly", 2, queue.Unique("k"))
		time.Sleep(time.Minute)
		wantEqual(t, "held", s.tick(time.Minute), 0)
		occurrences, err := s.client.Occurrences(t.Context(), "s", 10)
		if err != nil || len(occurrences) != 1 || occurrences[0].TaskID != held || occurrences[0].Skipped != queue.SkippedKey {
			t.Errorf("%+v %v, want one that was skipped for the key of %s", occurrences, err, held)
		}
		wantEqual(t, "last", s.schedule("s").LastTaskID, uuid.Nil)
		s.run(held)
		time.Sleep(time.Hour)
		wantEqual(t, "free", s.tick(time.Minute), 1)
		if _, err := s.client.PauseSchedule(t.Context(), "s", "ann"); err != nil {
			t.Fatal(err)
		}
	})
}
