// Package waiting explains what tasks wait for, to readers of pages and of terminals.
package waiting

import (
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// Paused explains what a task of a paused queue waits for.
func Paused(g queue.Gate) lang.Text {
	by := lang.M("an operator")
	if g.PausedBy != "" {
		by = lang.M("%s", g.PausedBy)
	}
	if g.PauseReason != "" {
		return lang.M("Its queue, %s, is paused by %s (%s): it waits, and cannot be run, until the queue is resumed.", g.Queue, by, g.PauseReason)
	}
	return lang.M("Its queue, %s, is paused by %s: it waits, and cannot be run, until the queue is resumed.", g.Queue, by)
}

// Parked explains what a parked task waits for, if its queue is not known to be paused.
func Parked(row *queue.Row) lang.Text {
	return lang.M("Its queue, %s, is paused, or was until a moment ago. It waits until the queue is resumed.", row.Queue)
}

// Delayed says when a READY task that is not due yet will be.
func Delayed(row *queue.Row, now time.Time) lang.Text {
	in := api.DueAt(row).Sub(now)
	if row.Attempts > 0 {
		return lang.M("It runs again in %s. Attempts used: %d of %d.", in, row.Attempts, row.MaxAttempts)
	}
	return lang.M("It is due in %s.", in)
}

// Limited explains which limits keep a READY task from running; the zero Text: none does.
func Limited(row *queue.Row, use []queue.LimitUse) lang.Text {
	var reached, subjects []lang.Text
	var next time.Duration
	for _, u := range use {
		subject := Subject(u, u.Name == row.Task)
		if subjects = append(subjects, subject); u.Reached() {
			reached = append(reached, lang.M("%s (%s)", subject, Reason(u)))
			next = max(next, u.Next)
		}
	}
	switch {
	case len(reached) > 0:
		starts := lang.M("It starts by itself when there is room.")
		if next > 0 {
			starts = lang.M("It starts by itself when there is room, in %s at the earliest.", next)
		}
		if len(reached) == 1 {
			return lang.Join(lang.M("It waits for the limit of %s.", reached[0]), starts)
		}
		return lang.Join(lang.M("It waits for the limits of %s.", List(reached)), starts)
	case !row.WaitsForLimit():
		return lang.Text{}
	case len(subjects) == 0:
		return lang.M("It waited for a limit that was removed. The next sweep, or a worker, starts it.")
	case len(subjects) > 1:
		return lang.M("It waited for one of the limits of %s, which have room now. The next task that ends, a worker or the sweeper starts it.", List(subjects))
	}
	return lang.M("It waited for the limit of %s, which has room now. The next task that ends, a worker or the sweeper starts it.", subjects[0])
}

// Subject describes what a limit is of, as [queue.LimitUse.Subject] does. isTask says that the
// name of a limit that is of neither a queue nor each key is that of a task.
func Subject(u queue.LimitUse, isTask bool) lang.Text {
	switch {
	case u.Kind == queue.LimitQueue:
		return lang.M("queue %s", u.Name)
	case u.Kind == queue.LimitEach && u.Key == "":
		return lang.M("each key of task %s", u.Name)
	case u.Kind == queue.LimitEach:
		return lang.M("key %s of task %s", u.Key, u.Name)
	case isTask:
		return lang.M("task %s", u.Name)
	}
	return lang.M("key %s", u.Name)
}

// Reason describes why a limit is reached, as [queue.LimitUse.Reason] does; the zero Text
// if it is not.
func Reason(u queue.LimitUse) lang.Text {
	if !u.Reached() {
		return lang.Text{}
	}
	var reasons []lang.Text
	if u.Running > 0 && u.Active+u.Chosen >= u.Running {
		reason := lang.M("%d of %d tasks run", u.Active, u.Running)
		if u.Chosen > 0 {
			reason = lang.M("%d of %d tasks run, and %d were chosen to start next", u.Active, u.Running, u.Chosen)
		}
		reasons = append(reasons, reason)
	}
	if u.Starts > 0 && u.Started >= u.Starts {
		reasons = append(reasons, lang.M("%d of %d starts within %s are used", u.Started, u.Starts, queue.FormatPeriod(u.Per)))
	}
	return joined(reasons, func(a, b lang.Text) lang.Text { return lang.M("%s; %s", a, b) })
}

// List is an enumeration of messages.
func List(all []lang.Text) lang.Text {
	return joined(all, func(a, b lang.Text) lang.Text { return lang.M("%s, %s", a, b) })
}

func joined(all []lang.Text, two func(a, b lang.Text) lang.Text) (list lang.Text) {
	for i, text := range all {
		if i == 0 {
			list = text
			continue
		}
		list = two(list, text)
	}
	return list
}
