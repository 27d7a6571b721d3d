package queue

import "fmt"

// Outcomes are how tasks have ended, and how long that took: of one hour and type of task
// in [HourFigures], or of any number of them added up.
//
// An outcome is one end of a task. A FAILED task that is retried and ends again has two,
// each with the attempts until then. All times are the database's.
type Outcomes struct {
	Succeeded, Failed, Cancelled int
	// Retried is how many of their attempts did not end the task.
	Retried int
	// Wait is from when a task was due until its first attempt began: after the later of
	// its enqueue and the time it was delayed to. It is unknown, and left out, for tasks
	// that never started and for those that have set themselves another hard time
	// ([RetryAt], [Snooze]).
	Wait Histogram
	// Run is the duration of the last attempt, and Attempts how many there were, of tasks
	// that have succeeded or failed.
	Run      Histogram
	Attempts Histogram
}

// Ended is how many outcomes there are.
func (o *Outcomes) Ended() int { return o.Succeeded + o.Failed + o.Cancelled }

// ErrorRate is the share of FAILED tasks among those that have succeeded or failed; 0 if
// none has.
func (o *Outcomes) ErrorRate() float64 {
	if o.Succeeded+o.Failed == 0 {
		return 0
	}
	return float64(o.Failed) / float64(o.Succeeded+o.Failed)
}

// Add counts the end of a row. A row that has not ended is ignored.
func (o *Outcomes) Add(row *Row) {
	switch row.Status {
	case StatusSuccessful:
		o.Succeeded++
	case StatusFailed:
		o.Failed++
	case StatusCancelled:
		o.Cancelled++
	default:
		return
	}
	o.Retried += max(0, row.Attempts-1)
	// A delivery may come a moment before its time, by its queue's clock.
	if !row.StartedAt.IsZero() && !row.RunAfter.After(row.StartedAt.Add(earlyTolerance)) {
		due := row.EnqueuedAt
		if row.RunAfter.After(due) {
			due = row.RunAfter
		}
		o.Wait.AddDuration(row.StartedAt.Sub(due))
	}
	if row.Status != StatusCancelled && !row.LastAttemptedAt.IsZero() {
		o.Run.AddDuration(row.FinishedAt.Sub(row.LastAttemptedAt))
		o.Attempts.Add(row.Attempts)
	}
}

// Merge adds other outcomes.
func (o *Outcomes) Merge(other *Outcomes) {
	o.Succeeded += other.Succeeded
	o.Failed += other.Failed
	o.Cancelled += other.Cancelled
	o.Retried += other.Retried
	o.Wait.Merge(other.Wait)
	o.Run.Merge(other.Run)
	o.Attempts.Merge(other.Attempts)
}

// histogramVersion is the first byte of encoded histograms.
const histogramVersion = 1

// EncodeHistograms returns the three histograms in a compact form, for a [FigureStore].
func (o *Outcomes) EncodeHistograms() []byte {
	return o.Attempts.appendTo(o.Run.appendTo(o.Wait.appendTo([]byte{histogramVersion})))
}

// DecodeHistograms sets the histograms to what EncodeHistograms returned. They are empty
// after an error.
func (o *Outcomes) DecodeHistograms(data []byte) error {
	o.Wait, o.Run, o.Attempts = Histogram{}, Histogram{}, Histogram{}
	if len(data) == 0 || data[0] != histogramVersion {
		return fmt.Errorf("histograms of an unknown version: %w", ErrInvalid)
	}
	var decoded [3]Histogram
	data = data[1:]
	for i := range decoded {
		var err error
		if decoded[i], data, err = decodeHistogram(data); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	o.Wait, o.Run, o.Attempts = decoded[0], decoded[1], decoded[2]
	return nil
}
