package storekit

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// trimEvery is how many occurrences a schedule makes between two removals of old ones.
const trimEvery = 50

// ErrScheduleAppeared is the error of a change that inserts a schedule which another
// transaction has inserted in the meantime.
var ErrScheduleAppeared = errors.New("the schedule was inserted by another transaction")

// ChangeSchedule calls once, which changes a schedule in one transaction, and again after
// ErrScheduleAppeared.
func ChangeSchedule(once func() error) (err error) {
	for range 4 {
		if err = once(); !errors.Is(err, ErrScheduleAppeared) {
			break
		}
	}
	return err
}

// TrimOccurrences reports whether a change of a schedule also removes occurrences beyond
// [queue.OccurrencesKept].
func TrimOccurrences(change *queue.ScheduleChange) bool {
	made, n := change.Schedule.Made, int64(len(change.Rows))
	return len(change.Skipped) > 0 || n > 0 && made/trimEvery != (made-n)/trimEvery
}

// WithoutHeld returns what a change makes of a schedule, which was old before, when only
// some of its rows were stored: another row holds the key of the rest, which are therefore
// not occurrences that the schedule has enqueued.
func WithoutHeld(old *queue.Schedule, change *queue.ScheduleChange, rows []*queue.NewRow, held func(i int) bool) *queue.Schedule {
	s := *change.Schedule
	lastIsHeld := false
	for i, row := range rows {
		if held(i) {
			s.Made--
			lastIsHeld = lastIsHeld || row.ID == s.LastTaskID
		}
	}
	if !lastIsHeld {
		return &s
	}
	s.LastAt, s.LastTaskID = time.Time{}, uuid.Nil
	if old != nil {
		s.LastAt, s.LastTaskID = old.LastAt, old.LastTaskID
	}
	for i, row := range rows {
		if !held(i) && !row.ScheduledFor.Before(s.LastAt) {
			s.LastAt, s.LastTaskID = row.ScheduledFor, row.ID
		}
	}
	return &s
}
