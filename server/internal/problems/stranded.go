package problems

import (
	"slices"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
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
	p := Problem{
		Kind: Stranded, Count: n,
		Title: f.t("%d tasks are stranded", n),
		Why:   f.t("The cause is not known yet: not all tasks have been searched."),
		Show:  page("/tasks", "stranded", "1"),
	}
	if unknown > 0 && f.sampled && !f.Each { // there may be more of those
		p.Title = f.t("About %d tasks are stranded", n)
	}
	if unknown > 0 {
		p.Why = f.t("Not runnable here: the name is not registered, or the key is missing.")
	}
	early, due := false, false
	for _, row := range known {
		later := api.DueAt(row).After(f.now)
		early, due = early || later, due || !later
	}
	if len(known) > 0 {
		p.Why = f.whyAll(known, n, early, due)
	}
	if f.Dispatches { // else a worker has to claim them, and nothing to be done here makes one do it
		p.Act = page("/confirm", "stranded", "1", "all", string(queue.ActionRun))
		p.ActName = f.t("Dispatch again")
		if early {
			p.ActName = f.t("Run now")
		}
	}
	if elsewhere > 0 {
		p.Why = lang.Sentences(p.Why, f.t("The list has %d more, which another problem explains.", elsewhere))
	}
	return []Problem{p}
}

// whyAll says why n rows are stranded, of which known were read. early and due are that some
// of them are due later or now.
func (f *finder) whyAll(known []*queue.Row, n int, early, due bool) string {
	reasons := make(map[string]int)
	for _, row := range known {
		reasons[f.whyStranded(row)]++
	}
	overdue, ignored, remedy := "", "", ""
	switch {
	case f.Dispatches:
		overdue = f.t("Neither claimed nor dispatched in time.")
	case due:
		overdue, remedy = f.t("Not claimed in time."), f.t("Start a worker for the queue, or add more.")
	}
	if early && f.Dispatches {
		ignored = f.t("A task that is not due yet gets its ticket from the sweeper; Run now does not wait until it is due.")
	}
	return lang.Sentences(overdue, ignored, f.most(reasons, len(known), n), remedy)
}

// whyStranded says why a row is stranded.
func (f *finder) whyStranded(row *queue.Row) string {
	later := api.DueAt(row).After(f.now)
	switch {
	case !f.Dispatches && later:
		return f.t("Not due yet: a worker claims it when it is.")
	case row.DispatchError != "":
		return f.noTicket(row)
	case later:
		return f.t("Not due yet and without a ticket: the sweeper creates it.")
	case f.Dispatches:
		return f.t("Not claimed in queue %s: a lost ticket, a paused or slow queue, or refused deliveries.", row.Queue)
	}
	return f.t("No worker that pulls from queue %s is free.", row.Queue)
}

// noTicket says why a row has no ticket.
func (f *finder) noTicket(row *queue.Row) string {
	if f.Errors {
		return f.t("The ticket could not be created (%s).", api.Clip(row.DispatchError, 200))
	}
	return f.t("The ticket could not be created: the page of the task has the error.")
}

// most returns the reason with the highest count, of a sample of rows out of all.
func (f *finder) most(reasons map[string]int, looked, all int) (reason string) {
	for text, n := range reasons {
		if best := reasons[reason]; n > best || n == best && text < reason {
			reason = text
		}
	}
	more := len(reasons) - 1
	if more == 0 && looked >= all {
		return reason
	}
	share := f.t("That is the cause for %d of %s.", reasons[reason], f.Printer.Number(looked))
	if looked < all {
		share = f.t("That is the cause for %d of %s in the sample.", reasons[reason], f.Printer.Number(looked))
	}
	others := ""
	if more > 0 {
		others = f.t("There are %d other causes.", more)
	}
	return lang.Sentences(reason, share, others)
}
