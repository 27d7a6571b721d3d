package queue

import "time"

// Migration is one step of the schema of a [Store] that has tables, as its Migrate
// and MigrationStatus return it.
type Migration struct {
	Version   int64
	Name      string        // of the file
	AppliedAt time.Time     // zero while pending
	Took      time.Duration // of one that Migrate has just applied
}
