package storekit

import "time"

// DueState is what one statement returns about the rows that Promote changes.
type DueState struct {
	Now       time.Time
	Held      time.Time // when the next delayed row is due
	Lease     time.Time // when the next lease expires
	Claimable bool
	Gates     bool // rows of gates are to be parked, or made claimable again
}

// Due reports whether a time has come; the zero time has not.
func (d DueState) Due(t time.Time) bool { return !t.IsZero() && !t.After(d.Now) }

// Next returns the time until the next row is due; zero if there is none.
func (d DueState) Next() time.Duration {
	first := d.Held
	if first.IsZero() || !d.Lease.IsZero() && d.Lease.Before(first) {
		first = d.Lease
	}
	if first.IsZero() {
		return 0
	}
	return max(first.Sub(d.Now), time.Microsecond)
}
