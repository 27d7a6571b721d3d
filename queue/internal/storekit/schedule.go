package storekit

import "github.com/claimcheck-go/claimcheck/queue"

// trimEvery is how many occurrences a schedule makes between two removals of old ones.
const trimEvery = 50

// TrimOccurrences reports whether a change of a schedule also removes occurrences beyond
// [queue.OccurrencesKept].
func TrimOccurrences(change *queue.ScheduleChange) bool {
	made, n := change.Schedule.Made, int64(len(change.Rows))
	return len(change.Skipped) > 0 || n > 0 && made/trimEvery != (made-n)/trimEvery
}
