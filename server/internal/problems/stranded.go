package problems

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// stranded says why rows are stranded, as far as a sample shows. Those that another problem
// is about are not counted, but in its page and its action: it says so.
func (f *finder) stranded() []Problem {
	n, elsewhere := 0, 0
	for _, q := range f.Queues {
		if f.told[q.Queue] {
			elsewhere += q.Stranded
		} else {
			n += q.Stranded
		}
	}
	rows := slices.DeleteFunc(slices.Clone(f.Stranded), func(row *queue.Row) bool { return f.told[row.Queue] })
	known := slices.DeleteFunc(slices.Clone(rows), func(row *queue.Row) bool { return !f.Registered(row.Task) || !f.Knows(row) })
	unknown := len(rows) - len(known)
	if !f.Each {
		n, elsewhere = n-unknown, elsewhere+unknown
	}
	if n <= 0 {
		return nil
	}
	about := ""
	if unknown > 0 && f.sampled && !f.Each { // there may be more of those
		about = "about "
	}
	p := Problem{
		Kind: Stranded, Count: n,
		Title: fmt.Sprintf("%s%s %s stranded", about, api.CountOf(n, "task"), api.IsAre(n)),
		Why:   api.OneMany(n, "The reason is not known yet: it is not among the tasks searched so far.", "The reason is not known yet: none of them is among the tasks searched so far."),
		Show:  page("/tasks", "stranded", "1"),
	}
	if f.Dispatches { // else a worker has to claim them, and nothing to be done here makes one do it
		p.Act = page("/confirm", "stranded", "1", "all", string(queue.ActionRun))
		p.ActName = api.OneMany(n, "Dispatch it again", "Dispatch them again")
	}
	p.Title = capitalized(p.Title)
	if unknown > 0 {
		p.Why = api.OneMany(n, "Nothing here can run it: its name is not registered, or its key is missing.", "Nothing here can run them: their names are not registered, or their keys are missing.")
	}
	reasons := make(map[string]int)
	early, due := false, false
	for _, row := range known {
		later := api.DueAt(row).After(f.now)
		early, due = early || later, due || !later
		reasons[f.whyStranded(row, n)]++
	}
	if len(known) > 0 {
		p.Why = f.overdue(n, due)
		if early && f.Dispatches {
			p.Why += api.OneMany(n, "It is not due yet: the sweeper creates its ticket for its time; running it now ignores it. ",
				"Some are not due yet: the sweeper creates their tickets for their time; running them now ignores it. ")
			p.ActName = api.OneMany(n, "Run it now", "Run them now")
		}
		p.Why += most(reasons, len(known), n)
		if !f.Dispatches && due {
			p.Why += api.OneMany(n, " Start a worker for its queue, or more of them.", " Start workers for their queues, or more of them.")
		}
	}
	if elsewhere > 0 {
		p.Why += fmt.Sprintf(" The list has %s more, which another of these problems is about.", api.Number(elsewhere))
	}
	return []Problem{p}
}

// overdue says what should have become of n rows by now. due is that some of them are due.
func (f *finder) overdue(n int, due bool) string {
	switch {
	case !f.Dispatches && !due:
		return ""
	case !f.Dispatches:
		return api.OneMany(n, "It should have been claimed by now. ", "They should have been claimed by now. ")
	}
	return api.OneMany(n, "It should have been claimed, or have a ticket, by now. ", "They should have been claimed, or have a ticket, by now. ")
}

// whyStranded says why a row, one of n, is stranded.
func (f *finder) whyStranded(row *queue.Row, n int) string {
	switch {
	case !f.Dispatches && api.DueAt(row).After(f.now):
		return api.OneMany(n, "It is due later: a worker claims it then.", "They are due later: a worker claims them then.")
	case row.DispatchError != "":
		return f.noTicket(row, n)
	case api.DueAt(row).After(f.now):
		return api.OneMany(n, "It is due later and has no ticket yet: the sweeper creates it.", "They are due later and have no tickets yet: the sweeper creates them.")
	default:
		return api.OneMany(n, "It was not claimed in queue ", "They were not claimed in queue ") + row.Queue + ": " + f.whyNotClaimed(n)
	}
}

// noTicket says why a row, one of n, has no ticket.
func (f *finder) noTicket(row *queue.Row, n int) string {
	if f.Errors {
		return api.OneMany(n, "Its ticket could not be created: ", "Their tickets could not be created: ") + api.Clip(row.DispatchError, 200)
	}
	return api.OneMany(n, "Its ticket could not be created: the page of the task has the error.", "Their tickets could not be created: the pages of the tasks have the errors.")
}

func capitalized(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// whyNotClaimed says why a task that is due may not have been claimed.
func (f *finder) whyNotClaimed(n int) string {
	if f.Dispatches {
		return api.OneMany(n, "its ticket was lost, the queue is paused or slow, or the program refuses its deliveries.",
			"their tickets were lost, the queue is paused or slow, or the program refuses its deliveries.")
	}
	return "no worker that pulls from it is up, or all are busy."
}

// most returns the reason with the highest count, of a sample of rows out of all.
func most(reasons map[string]int, looked, all int) (reason string) {
	for text, n := range reasons {
		if best := reasons[reason]; n > best || n == best && text < reason {
			reason = text
		}
	}
	more := len(reasons) - 1
	if more == 0 && looked >= all {
		return reason
	}
	of := " of " + api.Number(looked)
	if looked < all {
		of += " in the sample"
	}
	said := api.Number(reasons[reason]) + of
	if more > 0 {
		said += ", and " + api.CountOf(more, "other reason")
	}
	return reason + " (" + said + ")"
}
