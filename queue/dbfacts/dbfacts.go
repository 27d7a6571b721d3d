// Package dbfacts is what `server doctor` wants to know of a database, in the
// same words for all of them. The stores fill it; nothing on the path uses it.
package dbfacts

import "time"

// Facts are what a database says of itself.
type Facts struct {
	Product string // "PostgreSQL", "MariaDB", …
	Version string
	// Oldest is the oldest version that works; TooOld that this one is older.
	Oldest string
	TooOld bool
	// ReadOnly says that it takes no writes: a replica, for example.
	ReadOnly bool

	// Durability is which of its settings decide whether a row that was
	// acknowledged survives a crash.
	Durability []Setting

	// MaxConnections is how many it takes in all, of which Reserved are kept for
	// administrators, and UserLimit how many of this user or database (0: no
	// limit of its own). In use are Connections now. All 0: it does not count.
	MaxConnections, Reserved, UserLimit, Connections int

	// MaxPacket is how many bytes it takes in one statement; 0: there is no limit
	// of that kind.
	MaxPacket uint64

	// Pooled says that a connection pooler sits in between.
	Pooled bool

	// Now is its clock, read between Asked and Answered of this process's.
	// Zero: it has none of its own.
	Now, Asked, Answered time.Time
}

// Setting is one of its settings.
type Setting struct {
	Name, Value string
	// Loses says what may be lost with this value; empty: nothing.
	Loses string
	// Refused says that the program does not start with it.
	Refused bool
	Mend    string // the statement that mends it
}
