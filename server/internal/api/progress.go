package api

import (
	"fmt"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Progress is how far a task has come, in words: 120 of 400 (30%), or 120.
func Progress(p queue.TaskProgress) string {
	if p.Total == 0 {
		return fmt.Sprint(p.Done)
	}
	return fmt.Sprintf("%d of %d (%d%%)", p.Done, p.Total, Percent(p))
}

// Percent never says 100 before all is done.
func Percent(p queue.TaskProgress) int {
	if p.Done >= p.Total {
		return 100
	}
	return min(int(float64(p.Done)/float64(p.Total)*100), 99)
}
