package queue

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue/internal/cronspec"
)

// Schedule is a stored schedule: which task is enqueued when. [Client.Tick] enqueues it.
type Schedule struct {
	Name string
	Task string
	Spec string // five cron fields, a name such as @daily, or @every with a duration
	Zone string // of the IANA database

	Args     json.RawMessage
	Queue    string
	Backend  string
	Priority int
	Options  ScheduleOptions

	CatchUp CatchUp
	Overlap Overlap

	PausedAt time.Time // zero: it is not paused
	PausedBy string
	// Program names the program whose code defines the schedule; empty for one that was
	// made at run time.
	Program string
	// RemovedAt is when the schedule of a program was found to be no longer in its code.
	RemovedAt  time.Time
	Definition string // hash of what the code defines

	AnchoredAt time.Time // where the intervals of @every begin
	// NextAt is the time of the next occurrence that was not enqueued yet; zero while the
	// schedule is paused or removed, and if it has no further time.
	NextAt     time.Time
	LastAt     time.Time // of the latest occurrence that was enqueued, maybe ahead of its time
	LastTaskID uuid.UUID
	LastStatus Status // of that task, when the schedule was read; empty if it was purged
	Made       int64  // how many occurrences were enqueued

	// Warnings are those of [Handle], for the arguments that PutSchedule got; not stored.
	Warnings []string
	// Kept reports that PutSchedule has kept the options; not stored.
	Kept bool
	// KeyID is the key with which Args are encrypted, and Unreadable why they could not be
	// decrypted, as of a [Row]; not stored.
	KeyID, Unreadable string

	CreatedAt time.Time
	ChangedAt time.Time // the last time that anything but its occurrences changed
}

// Paused reports whether an operator has paused the schedule.
func (s *Schedule) Paused() bool { return !s.PausedAt.IsZero() }

// Removed reports whether the schedule was defined in the code of a program, and is no
// longer.
func (s *Schedule) Removed() bool { return !s.RemovedAt.IsZero() }

// InCode reports whether the code of a program defines the schedule.
func (s *Schedule) InCode() bool { return s.Program != "" && !s.Removed() }

func (s *Schedule) parse() (*cronspec.Spec, error) {
	spec, err := cronspec.Parse(s.Spec, s.Zone, s.AnchoredAt)
	return spec, invalid(err)
}

// Times returns the next n times of the schedule after a given one, whether or not it is
// paused; fewer if it ends, and none if its spec or zone is not known to this version.
func (s *Schedule) Times(after time.Time, n int) (times []time.Time) {
	spec, err := s.parse()
	if err != nil {
		return nil
	}
	for len(times) < n {
		if after = spec.Next(after); after.IsZero() {
			break
		}
		times = append(times, after)
	}
	return times
}

// CatchUp says what happens with occurrences that no tick has enqueued in time: those
// that a later one has followed already, and those that are more than [MissedAfter]
// late. It is an option of [Every].
type CatchUp string

// The ways to catch up.
const (
	CatchUpSkip CatchUp = "skip" // missed occurrences are not enqueued
	CatchUpOne  CatchUp = "one"  // the latest of them is; the default
	CatchUpAll  CatchUp = "all"  // all of them are, up to CatchUpLimit
)

// Overlap says what happens when an occurrence is due while the task of an earlier one
// has not ended. It is an option of [Every].
type Overlap string

// The ways to overlap.
const (
	OverlapAllow Overlap = "allow" // it is enqueued; the default
	OverlapSkip  Overlap = "skip"  // it is not
)

const (
	// MissedAfter is how late an occurrence may be enqueued without counting as missed.
	MissedAfter = 10 * time.Minute
	// CatchUpLimit is how many missed occurrences CatchUpAll enqueues: the latest ones.
	CatchUpLimit = 1000
	// OccurrencesKept is how many occurrences of a schedule are remembered at least.
	OccurrencesKept = 300
)

// Occurrence is one time of a schedule.
type Occurrence struct {
	ScheduledFor time.Time
	// TaskID is zero if none was enqueued; with SkippedKey it is that of the row that held
	// the key.
	TaskID uuid.UUID
	// Skipped is why none was.
	Skipped Skipped
	// Of its task, when it was read; empty if there is none, and if it was purged.
	Status     Status
	EnqueuedAt time.Time
	StartedAt  time.Time
	FinishedAt time.Time
	ErrorText  string
	// Waiting reports that the task was enqueued ahead and waits for its time, so that
	// it can be cancelled; only in a [ScheduleState].
	Waiting bool
}

// Skipped is why an occurrence was not enqueued.
type Skipped string

// The reasons.
const (
	SkippedMissed  Skipped = "missed"  // by CatchUp; it includes those before it
	SkippedOverlap Skipped = "overlap" // by Overlap
	SkippedExpired Skipped = "expired" // by ExpiresIn, at the first tick; it includes those before it
	SkippedKey     Skipped = "key"     // another row held the key of the task (Unique)
)

// Scheduler is a [Store] that keeps schedules. Without it the methods of [Client] about
// schedules return [ErrUnsupported]. Its methods are as safe for concurrent use as
// those of Store, and return the same errors.
type Scheduler interface {
	// Schedules returns all schedules by name, with LastStatus.
	Schedules(ctx context.Context) ([]*Schedule, error)

	// DueSchedules returns the names of up to limit schedules whose NextAt is at most
	// ahead from now, the earliest first, and how long it is until the next one is due
	// after these: at least a microsecond, or zero if there is none.
	DueSchedules(ctx context.Context, ahead time.Duration, limit int) (names []string, next time.Duration, err error)

	// ChangeSchedule locks a schedule, calls change with its state, and stores what that
	// returns, all in one transaction; nil changes nothing. The rows of the change are
	// then as they were stored; the occurrence of one that got another row, which holds its
	// key, is stored with SkippedKey and that row's ID, and the schedule's LastAt, LastTaskID
	// and Made as they are without it. If the transaction is repeated, change is called again.
	// Errors: change's; [ErrLocked], at once, if another transaction has locked the
	// schedule.
	ChangeSchedule(ctx context.Context, name string, change func(ScheduleState) (*ScheduleChange, error)) error

	// Occurrences returns the latest occurrences of a schedule, newest first.
	Occurrences(ctx context.Context, name string, limit int) ([]Occurrence, error)
}

// ScheduleState is what a change of a schedule is decided from.
type ScheduleState struct {
	Now      time.Time // the database's
	Schedule *Schedule // nil: there is none; without LastStatus
	// Ahead are the occurrences after Now, which were enqueued ahead. If there are any,
	// Last is the latest one before that was enqueued, or zero.
	Ahead []Occurrence
	Last  Occurrence
	// Unfinished reports whether a task of the schedule is READY or RUNNING; only known
	// if the schedule has OverlapSkip.
	Unfinished bool
}

// ScheduleChange is what is stored of a schedule.
type ScheduleChange struct {
	// Schedule is what it is then; nil deletes it, with its occurrences.
	Schedule *Schedule
	// Cancel are occurrences of ScheduleState.Ahead that are Waiting: their tasks are
	// cancelled, and the occurrences are forgotten.
	Cancel []Occurrence
	// Rows are tasks of occurrences to be inserted, and Skipped are occurrences that get
	// none. One whose occurrence exists is left out, and its Row has the zero ID then.
	Rows    []*NewRow
	Skipped []Occurrence
}

// Errors about schedules. Test with errors.Is.
var (
	// ErrNoSchedule: no schedule has this name.
	ErrNoSchedule = errors.New("schedule not found")
	// ErrScheduleInCode: the code of a program defines the schedule, so it can be paused
	// and run, and not be changed or deleted.
	ErrScheduleInCode = errors.New("the schedule is defined in a program's code: change it there; pause and run work for it as for others")
)
