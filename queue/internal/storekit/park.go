package storekit

import (
	"errors"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// A parked row has its DispatchDueAt moved by 10,000 years, and hold 2: it is in no index
// of claims, is not due for the sweeper whatever time passes, and the index of waiting
// rows has it apart from the other rows of its queue, in the same order. Moved back, the
// time says whether its ticket may still be delivered.
const parkDays = 3652425 // 10,000 years

// HoldParked is the hold of a parked row.
const HoldParked = 2

// ParkMicros is by how much parking moves a time.
const ParkMicros = parkDays * 24 * int64(time.Hour/time.Microsecond)

// ParkInterval is the same as an interval of PostgreSQL, in hours: days depend on the
// session's time zone.
var ParkInterval = fmt.Sprintf("interval '%d hours'", parkDays*24)

// Park returns the DispatchDueAt of a parked row that had due.
func Park(due time.Time) time.Time { return due.AddDate(0, 0, parkDays) }

// Unpark returns the DispatchDueAt that a parked row had before.
func Unpark(due time.Time) time.Time { return due.AddDate(0, 0, -parkDays) }

// MayBePaused reports whether a claim that was refused, or missed its row although
// refusal is nil, has done so because the row's queue is paused: any other reason takes
// precedence, except that this process does not know the task.
func MayBePaused(refusal error) bool {
	return refusal == nil || errors.Is(refusal, queue.ErrUnknownTask)
}
