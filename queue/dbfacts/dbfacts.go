// Package dbfacts describes a database for diagnosis, in the same terms for all kinds of
// databases. Stores fill it in their Inspect method, and `server doctor` reads it; no
// task depends on it.
package dbfacts

import "time"

// Facts are what a database reports about itself.
type Facts struct {
	Product string // "PostgreSQL", "MariaDB", …
	Version string
	// Oldest is the oldest supported version; TooOld says that this one is older.
	Oldest string
	TooOld bool
	// ReadOnly says that it accepts no writes: a replica, for example.
	ReadOnly bool

	// Durability holds the settings that decide whether an acknowledged row survives a
	// crash.
	Durability []Setting

	// MaxConnections is the limit of connections in all, of which Reserved are kept for
	// administrators; UserLimit is the limit of this user or database (0: none).
	// Connections are in use now. All are 0 if the database has no such limit.
	MaxConnections, Reserved, UserLimit, Connections int

	// MaxPacket is the limit of one statement in bytes; 0: none.
	MaxPacket uint64

	// Pooled says that a connection pooler is in between.
	Pooled bool

	// Now is the time of its clock, read between the times Asked and Answered of this
	// process. Now is zero if it has no clock of its own.
	Now, Asked, Answered time.Time
}

// Setting is one setting of a database.
type Setting struct {
	Name, Value string
	// Loses says what this value may lose; empty: nothing.
	Loses string
	// Refused says that the store refuses a database with this value.
	Refused bool
	Fix     string // the statement that corrects it
}
