package queue

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Limiter is a [Gatekeeper] that can limit how many tasks run at once, and how many
// start within a time. Its claims look at the limits in the same transaction that claims:
// a row over a limit is not claimed, so that it uses up no attempt, and waits. Claims of
// rows that a limit concerns are durable, so that no limit is exceeded after a crash of
// the database.
//
// ClaimNext leaves out the rows that a limit concerns; ClaimLimited claims them. Claim
// claims both kinds, and refuses a row over a limit with [ErrLimited], after it has made
// the row wait: then no delivery is expected until Admit returns the row, or, if only a
// rate was reached, until the time that the error says. The error says whether the row must
// be admitted because there may be room by now. A Store may leave Limiter out.
type Limiter interface {
	Gatekeeper
	// SetLimit sets, changes or removes a limit or a part of it. What an operator has set
	// or removed is not changed by the code: SetLimit then changes nothing. Tasks that run are counted,
	// also those that were claimed before. It returns the limit as it is now.
	SetLimit(ctx context.Context, r LimitChange) (Limit, error)
	// Limits returns the limits, ordered by kind and name.
	Limits(ctx context.Context) ([]Limit, error)
	// ClaimLimited claims as ClaimNext does, among the rows that a limit concerns:
	// highest priority first, then from each limit key in turn, then first come. With
	// req.Share it shares req.Limit with the rows that ClaimNext would claim: the highest
	// priority comes first, and at the same one both kinds take turns, with
	// req.OthersFirst the rows of ClaimNext first. It does not prefetch. wait is how long until a row that only a rate keeps from being claimed
	// may be; zero if there is none.
	ClaimLimited(ctx context.Context, req ClaimNextRequest) (rows []*Row, wait time.Duration, err error)
	// Admit chooses rows that wait for a limit and may be claimed now, so that the caller
	// dispatches them. If there are none, it chooses rows that expect no delivery and that
	// only rates keep from being claimed: Claim refuses them, with the time of the next
	// delivery. The sweeper dispatches what is chosen DispatchGrace from now if
	// the caller dies. The rows have no Args, ReturnValue and Errors.
	Admit(ctx context.Context, req AdmitRequest) ([]*Row, error)
	// HoldLimited makes rows of these backends wait for the limits that concern them, so
	// that ClaimNext need not step over them: it looks at the first limit rows that it could
	// claim, and returns how many of them wait now; none means that nothing is left to do.
	// It changes nothing else about them, and no row that no limit concerns. It skips rows
	// that another transaction has locked, and limits that are just being changed.
	HoldLimited(ctx context.Context, backends []string, limit int) (int, error)
	// LimitUse returns how much of the limits is used: of all of them, of a [LimitEach] over
	// all of its keys; or with a row, of which it reads the names and the limit key, of those
	// that concern it.
	LimitUse(ctx context.Context, row *Row) ([]LimitUse, error)
	// TidyLimits counts tasks that were claimed while a limit was being set, and
	// removes the records of limits and limit keys that are not used any more.
	TidyLimits(ctx context.Context) error
}

// AdmitRequest selects the rows of one Admit.
type AdmitRequest struct {
	Backend string
	// Tasks are the names that the caller knows; none: all. A row of another task would
	// keep its slots although no delivery claims it.
	Tasks []string
	Keys  []string // as in ClaimRequest, likewise
	Row   *Row     // only rows that share a limit with it; nil: any
	Limit int      // at most so many
}

// Knows reports whether the request is for rows of a task. Stores call it.
func (r *AdmitRequest) Knows(task string) bool {
	return len(r.Tasks) == 0 || slices.Contains(r.Tasks, task)
}

// LimitKind is what the name of a [Limit] is.
type LimitKind string

// The kinds of limits.
const (
	LimitQueue LimitKind = "queue" // the name of a queue
	LimitName  LimitKind = "name"  // the name of a task, or a limit key ([LimitKey])
	LimitEach  LimitKind = "each"  // the name of a task: each of its limit keys has this limit apart
)

// Limit is how many tasks of a queue, of a name or of a limit key may run at once, and how
// many may start within a time. A task that several limits concern starts when all of them
// allow it.
type Limit struct {
	Kind    LimitKind
	Name    string
	Running int           // at most so many run at once; 0: any number
	Starts  int           // at most so many start within Per; 0: any number
	Per     time.Duration // of Starts
	Code    bool          // set by the code, not by an operator
}

// Bounds of a [Limit].
const (
	MaxLimit  = 10_000
	MinPeriod = time.Millisecond
	MaxPeriod = 31 * 24 * time.Hour
)

// Set reports whether there is a limit at all.
func (l *Limit) Set() bool { return l.Running > 0 || l.Starts > 0 }

// Check returns [ErrInvalid] for a limit that no store can keep. Stores call it.
func (l *Limit) Check() error {
	switch l.Kind {
	case LimitQueue:
		if !validName(l.Name) {
			return invalidf(`queue %.120q: use 1 to 100 letters, digits, "-", "_" or ".", and not "." or ".." alone`, l.Name)
		}
	case LimitEach:
		if !validTaskName(l.Name) {
			return invalidf(`task %.120q: use 1 to 200 letters, digits or "_.:/-", and no part "." or ".." between slashes`, l.Name)
		}
	case LimitName:
		if !validLimitKey(l.Name) {
			return invalidf(`limit %.120q: use the name of a task, or a limit key of 1 to %d bytes of UTF-8`, l.Name, MaxLimitKey)
		}
	default:
		return invalidf("limit kind %.20q: use %q, %q or %q", l.Kind, LimitQueue, LimitName, LimitEach)
	}
	switch {
	case l.Running < 0 || l.Running > MaxLimit:
		return invalidf("running must be a whole number from 1 to %d, not %d: to run nothing, pause the queue", MaxLimit, l.Running)
	case l.Starts < 0 || l.Starts > MaxLimit:
		return invalidf("starts must be a whole number from 1 to %d, not %d: to start nothing, pause the queue", MaxLimit, l.Starts)
	case l.Starts > 0 && (l.Per < MinPeriod || l.Per > MaxPeriod):
		return invalidf("per must be a duration from %s to %s, not %s", MinPeriod, FormatPeriod(MaxPeriod), FormatPeriod(l.Per))
	}
	return nil
}

// AdmitGrace is how long an admitted row keeps its slots: longer than a ticket usually
// takes, so that other deliveries do not overtake it, and short where thousands of tickets
// are before it, whose rows may then run.
const AdmitGrace = 250 * time.Millisecond

// MaxLimitKey is the length of the longest limit key in bytes.
const MaxLimitKey = 200

func validLimitKey(key string) bool {
	return key != "" && len(key) <= MaxLimitKey && cleanText(key, MaxLimitKey) == key
}

// LimitedFrom is before the DispatchDueAt of every row that waits for a limit and expects
// no delivery, and after that of any other row.
var LimitedFrom = time.Date(21000, 1, 1, 0, 0, 0, 0, time.UTC)

// limitedText is the reason of a row that limits keep from being claimed.
func limitedText(row *Row, reached []LimitUse) string {
	var names []string
	for _, u := range reached {
		names = append(names, u.Subject(row.Task))
	}
	switch len(names) {
	case 0:
		return "a limit that concerns the task is reached: the task waits"
	case 1:
		return "the limit of " + names[0] + " is reached: the task waits"
	}
	return "the limits of " + strings.Join(names, ", ") + " are reached: the task waits"
}
