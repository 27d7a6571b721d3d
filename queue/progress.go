package queue

import (
	"context"
	"sync"
	"time"
)

// MaxNoteBytes is how many bytes a [Note] has at most; longer ones are cut.
const MaxNoteBytes = 1000

// TaskProgress is how far a task says that it has come ([Progress]).
type TaskProgress struct {
	Done  int `json:"done"`
	Total int `json:"total"` // 0: not known
}

// Progress records how far the running task has come: done units of total, of whatever
// the task counts. A total of 0 says that it is not known; negative values count as 0.
//
// It only keeps the values in memory, so it can be called for every unit. They are stored
// with the next renewal of the task's lease, after a third of [ExecutorConfig].Lease, and
// with the end of the attempt, in the statements that are sent anyway. Then they are
// shown as [Row].Progress. What is not stored yet is lost with the process.
//
// They stay on the row when the attempt ends, however it ends. A later attempt starts
// with them, until it reports its own.
//
// ctx is the context of the task's function. Outside a task, and on a store that is no
// [Reporter], Progress does nothing. It is safe for concurrent use.
func Progress(ctx context.Context, done, total int) {
	p := TaskProgress{Done: max(done, 0), Total: max(total, 0)}
	if r := runFrom(ctx); r != nil {
		r.reporting().record(func(latest *Report) bool {
			changed := latest.Progress == nil || *latest.Progress != p
			latest.Progress = &p
			return changed
		})
	}
}

// Note records in a few words what the running task is doing, in place of its last note:
// "page 7 of the export". An empty text removes the note. A text of more than
// [MaxNoteBytes] is cut. It is stored and shown as [Row].Note, as [Progress] describes.
//
// The operator's pages hide the notes of tasks whose arguments they hide. The HTTP API
// and the command line show them, as they show return values and error messages.
func Note(ctx context.Context, text string) {
	text = cleanText(text, MaxNoteBytes)
	if r := runFrom(ctx); r != nil {
		r.reporting().record(func(latest *Report) bool {
			changed := latest.Note == nil || *latest.Note != text
			latest.Note = &text
			return changed
		})
	}
}

// Report is what a running task has reported about itself. A part that is nil leaves the
// row's as it is.
type Report struct {
	Progress *TaskProgress
	Note     *string // an empty one removes the row's
}

// Apply sets what is reported in a row. It does nothing for a nil report.
func (r *Report) Apply(row *Row) {
	if r == nil {
		return
	}
	if r.Progress != nil {
		p := *r.Progress
		row.Progress = &p
	}
	if r.Note != nil {
		row.Note = *r.Note
	}
}

// Reporter is a [Store] that stores what running tasks report ([Progress], [Note]), in
// the statements that it runs anyway. Its Finish and Retry apply their Report, and so
// does FinishTx. A store that is none ignores the reports.
type Reporter interface {
	// HeartbeatReports is [Store].Heartbeat, and applies the reports of the claims that
	// it renews.
	HeartbeatReports(ctx context.Context, lease time.Duration, reports map[Claim]Report, claims ...Claim) (renewed, lost []Claim, err error)

	// ReleaseReport is [Store].Release, and applies a report.
	ReleaseReport(ctx context.Context, claim Claim, report Report) error
}

// reporting is what the function of one run has reported.
type reporting struct {
	mu      sync.Mutex
	latest  Report
	version int // counts the changes of latest
	stored  int // the version that the row has
}

// record changes the latest report. change reports whether it did.
func (r *reporting) record(change func(*Report) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if change(&r.latest) {
		r.version++
	}
}

// pending returns a report that is not stored yet, and its version.
func (r *reporting) pending() (Report, int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest, r.version, r.version != r.stored
}

// saved records that the row has a version.
func (r *reporting) saved(version int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored = version
}

// reporting returns where the run keeps its reports, which most runs do not have.
func (r *activeRun) reporting() *reporting {
	if reports := r.reports.Load(); reports != nil {
		return reports
	}
	r.reports.CompareAndSwap(nil, new(reporting))
	return r.reports.Load()
}

// unstored returns the report that the statement which ends the run has to store; nil if
// there is none.
func (r *activeRun) unstored() *Report {
	reports := r.reports.Load()
	if reports == nil || r.executor.reporter == nil {
		return nil
	}
	if report, _, pending := reports.pending(); pending {
		return &report
	}
	return nil
}

// applyReports sets in the run's row what the function has reported.
func (r *activeRun) applyReports() {
	if reports := r.reports.Load(); reports != nil && r.executor.reporter != nil {
		latest, _, _ := reports.pending()
		latest.Apply(r.row)
	}
}
