package queue

import (
	"cmp"
	"slices"
	"time"
)

// FigureBatch adds up rows for a [FigureStore]. The zero value is empty.
type FigureBatch struct {
	hours map[time.Time]map[figureKey]*Outcomes
}

// figureKey is what HourFigures of one hour differ in.
type figureKey struct{ task, queue, backend string }

func (f *HourFigures) key() figureKey { return figureKey{f.Task, f.Queue, f.Backend} }

// Add counts an ended row. It reads the row's names, Status, Attempts and times.
func (b *FigureBatch) Add(row *Row) {
	b.outcomes(row.FinishedAt.UTC().Truncate(time.Hour), figureKey{row.Task, row.Queue, row.Backend}).Add(row)
}

func (b *FigureBatch) outcomes(hour time.Time, key figureKey) *Outcomes {
	if b.hours == nil {
		b.hours = make(map[time.Time]map[figureKey]*Outcomes)
	}
	if b.hours[hour] == nil {
		b.hours[hour] = make(map[figureKey]*Outcomes)
	}
	if b.hours[hour][key] == nil {
		b.hours[hour][key] = new(Outcomes)
	}
	return b.hours[hour][key]
}

// Hours returns the hours that rows were added to, in order.
func (b *FigureBatch) Hours() []time.Time {
	hours := make([]time.Time, 0, len(b.hours))
	for hour := range b.hours {
		hours = append(hours, hour)
	}
	slices.SortFunc(hours, time.Time.Compare)
	return hours
}

// Merged returns the figures of an hour that the batch changes, as they are afterwards.
// stored are all figures that the hour had before; they are not changed.
func (b *FigureBatch) Merged(hour time.Time, stored []HourFigures) []HourFigures {
	known := make(map[figureKey]*HourFigures, len(stored))
	for i := range stored {
		known[stored[i].key()] = &stored[i]
	}
	batch := b.hours[hour]
	keys := make([]figureKey, 0, len(batch))
	for key := range batch {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, figureKey.compare) // which are told apart must not depend on chance
	changed := make(map[figureKey]*HourFigures)
	for _, key := range keys {
		outcomes := batch[key]
		key = keyFor(key, known)
		f := changed[key]
		if f == nil {
			f = &HourFigures{Hour: hour, Task: key.task, Queue: key.queue, Backend: key.backend}
			if before := known[key]; before != nil {
				f.Merge(&before.Outcomes)
			}
			changed[key], known[key] = f, f
		}
		f.Merge(outcomes)
	}
	list := make([]HourFigures, 0, len(changed))
	for _, f := range changed {
		list = append(list, *f)
	}
	sortFigures(list)
	return list
}

func (k figureKey) compare(other figureKey) int {
	return cmp.Or(cmp.Compare(k.backend, other.backend), cmp.Compare(k.queue, other.queue), cmp.Compare(k.task, other.task))
}

// keyFor returns the key under which outcomes are counted: key itself, or that of the
// other types of its queue, or of all queues.
func keyFor(key figureKey, known map[figureKey]*HourFigures) figureKey {
	if known[key] != nil || len(known) < MaxFigures {
		return key
	}
	key.task = ""
	if known[key] != nil || len(known) < MaxFigures+maxOtherFigures {
		return key
	}
	return figureKey{}
}

// Figures returns what was added, for hours from since until before until, with the names
// of a request.
func (b *FigureBatch) Figures(r FiguresRequest) (list []HourFigures) {
	for hour, groups := range b.hours {
		if hour.Before(r.Since) || !r.Until.IsZero() && !hour.Before(r.Until) {
			continue
		}
		for key, outcomes := range groups {
			f := HourFigures{Hour: hour, Task: key.task, Queue: key.queue, Backend: key.backend, Outcomes: *outcomes}
			if r.Selects(&f) {
				list = append(list, f)
			}
		}
	}
	sortFigures(list)
	return list
}

// Selects reports whether the names of the request select figures.
func (r *FiguresRequest) Selects(f *HourFigures) bool {
	return (r.Task == "" || r.Task == f.Task) && (r.Queue == "" || r.Queue == f.Queue) && (r.Backend == "" || r.Backend == f.Backend)
}

// AddFigures adds figures, those with the same hour and names together, and sorts them.
func AddFigures(lists ...[]HourFigures) (sum []HourFigures) {
	b := FigureBatch{}
	for _, list := range lists {
		for i := range list {
			b.outcomes(list[i].Hour, list[i].key()).Merge(&list[i].Outcomes)
		}
	}
	return b.Figures(FiguresRequest{})
}

func sortFigures(list []HourFigures) {
	slices.SortFunc(list, func(a, b HourFigures) int { return cmp.Or(a.Hour.Compare(b.Hour), a.key().compare(b.key())) })
}

// FiguresTail adds up the rows that are not counted yet for [FigureStore].Figures. Make one
// with [NewFiguresTail].
type FiguresTail struct {
	request FiguresRequest
	batch   FigureBatch
	rows    map[Status]int
	through time.Time // zero: nothing is missing
}

// NewFiguresTail returns one for a request.
func NewFiguresTail(r FiguresRequest) *FiguresTail {
	return &FiguresTail{request: r, rows: make(map[Status]int)}
}

// Add counts one of the rows that were found by their status and in the order of their
// FinishedAt, at most [FiguresTailLimit] of each status.
func (t *FiguresTail) Add(row *Row) {
	t.AddPending(row)
	if t.rows[row.Status]++; t.rows[row.Status] >= FiguresTailLimit && (t.through.IsZero() || row.FinishedAt.Before(t.through)) {
		t.through = row.FinishedAt
	}
}

// AddPending counts any other row.
func (t *FiguresTail) AddPending(row *Row) { t.batch.Add(row) }

// Figures returns counted figures and what was added, at the database's time now.
func (t *FiguresTail) Figures(counted []HourFigures, now time.Time) Figures {
	f := Figures{Hours: AddFigures(counted, t.batch.Figures(t.request)), Through: now.UTC()}
	if t.request.Until.Before(f.Through) {
		f.Through = t.request.Until
	}
	if !t.through.IsZero() && t.through.Before(f.Through) {
		f.Through = t.through
	}
	return f
}
