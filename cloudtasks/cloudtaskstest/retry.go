package cloudtaskstest

import (
	"net/http"
	"strconv"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
)

// keptFor is how long the service keeps a task, whatever its state.
const keptFor = 31 * 24 * time.Hour

// backoff is how long the service waits after the nth failed attempt: min
// backoff, doubled max_doublings times, then growing by the last step, up to
// max backoff. With 10 s, 300 s and 3 doublings: 10, 20, 40, 80, 160, 240, 300,
// 300, ... (the reference's example).
func backoff(retry *cloudtaskspb.RetryConfig, failures int) time.Duration {
	first, longest := retry.GetMinBackoff().AsDuration(), retry.GetMaxBackoff().AsDuration()
	wait := first
	for n := 1; n < failures && wait < longest; n++ {
		if n <= int(retry.GetMaxDoublings()) {
			wait *= 2
			continue
		}
		step := first << retry.GetMaxDoublings() // reached only below longest, so it is no overflow
		wait += step
	}
	return min(wait, longest)
}

// exhausted reports whether a task that has failed so often is given up: only
// when max_attempts and max_retry_duration are both used up.
//
// Assumed: a limit that is not set (-1 attempts, no duration) leaves it to the
// other one, as queue.yaml's documentation has it; with neither the task is
// tried until it is 31 days old.
func exhausted(retry *cloudtaskspb.RetryConfig, attempts int, since time.Duration) bool {
	maxAttempts, maxDuration := int(retry.GetMaxAttempts()), retry.GetMaxRetryDuration().AsDuration()
	if maxAttempts < 0 && maxDuration == 0 {
		return false
	}
	return attempts >= maxAttempts && since >= maxDuration
}

// retryAfter is the answer's Retry-After, in seconds or as a date.
//
// Assumed: the next attempt comes no earlier than that, after 429 and 503; the
// reference says that it is considered.
func retryAfter(status int, header http.Header, now time.Time) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	value := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
