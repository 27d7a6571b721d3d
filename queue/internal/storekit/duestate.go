package storekit

import "time"

// DueState is what one statement returns about the rows that Promote changes.
type DueState struct {
	Now       time.Time
	Held      time.Time // when the next delayed row is due
	Lease     time.Time // when the next lease expires
	Expiry    time.Time // when the next READY row expires
	Deletion  time.Time // when the next ended row is to be deleted
	Claimable bool
	Gates     bool      // rows of gates are to be parked, or made claimable again
	Schedule  time.Time // when the next schedule is due
	Limits    bool      // limits are set
	Limited   bool      // rows wait for a limit
	Unheld    bool      // rows that a limit concerns do not wait for it yet
	Groups    bool      // there are groups that have not succeeded
}

// Due reports whether a time has come; the zero time has not.
func (d DueState) Due(t time.Time) bool { return !t.IsZero() && !t.After(d.Now) }

// Next returns the time until the next row is due or expires; zero if there is none.
// Rows to be deleted do not count: they wait for the sweeper.
func (d DueState) Next() time.Duration {
	var first time.Time
	for _, at := range []time.Time{d.Held, d.Lease, d.Expiry} {
		if first.IsZero() || !at.IsZero() && at.Before(first) {
			first = at
		}
	}
	if first.IsZero() {
		return 0
	}
	return d.until(first)
}

// NextTick returns the time until the next schedule is due; zero if there is none.
func (d DueState) NextTick() time.Duration {
	if d.Schedule.IsZero() {
		return 0
	}
	return d.until(d.Schedule)
}

func (d DueState) until(t time.Time) time.Duration { return max(t.Sub(d.Now), time.Microsecond) }
