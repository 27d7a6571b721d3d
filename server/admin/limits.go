package admin

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
	"github.com/claimcheck-go/claimcheck/server/internal/waiting"
)

// limitLine is one limit, what is used of it, and what its form has.
type limitLine struct {
	queue.LimitUse
	ID       string   // of its fields
	Subject  string   // queue emails
	Of       string   // Queue emails
	Means    string   // at most 20 running
	Used     []string // sentences: 3 running now.
	SetBy    string
	Code     string // what the code sets, if that is not in force
	Stuck    bool   // it lets no task start now
	Waiting  string // address of the tasks that wait for a limit
	MaxLimit int
	Back     string // where its form leads afterwards; empty: the page of all queues
}

// limitLines returns the limits, of queues by name, and of tasks and limit keys, with
// those that the code sets and that are not in force.
func (h *handler) limitLines(p *lang.Printer, use []queue.LimitUse) (queues map[string]*limitLine, others []*limitLine) {
	code := h.Client.CodeLimits()
	queues = make(map[string]*limitLine)
	same := func(a, b queue.Limit) bool { return a.Kind == b.Kind && a.Name == b.Name }
	all := slices.Clone(use)
	for _, l := range code {
		if !slices.ContainsFunc(use, func(u queue.LimitUse) bool { return same(u.Limit, l) }) {
			all = append(all, queue.LimitUse{Limit: queue.Limit{Kind: l.Kind, Name: l.Name}})
		}
	}
	slices.SortFunc(all, func(a, b queue.LimitUse) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(string(b.Kind), string(a.Kind)))
	})
	for _, u := range all {
		line := h.limitLine(p, u)
		for _, l := range code {
			if set := l; same(u.Limit, l) {
				if set.Code = u.Code; set != u.Limit {
					line.Code = limitMeans(p, l)
				}
			}
		}
		if u.Kind == queue.LimitQueue {
			queues[u.Name] = line
		} else {
			others = append(others, line)
		}
	}
	return queues, others
}

func (h *handler) limitLine(p *lang.Printer, u queue.LimitUse) *limitLine {
	id := fnv.New64a() // the page keeps what is open, by its ID, when it is loaded again
	_, _ = id.Write([]byte(string(u.Kind) + " " + u.Name))
	line := &limitLine{
		LimitUse: u, ID: fmt.Sprintf("limit-%x", id.Sum(nil)), Subject: p.Text(h.limited(u)), Means: limitMeans(p, u.Limit), Stuck: u.Reached(), MaxLimit: queue.MaxLimit,
	}
	line.Of = capitalized(line.Subject)
	switch {
	case u.Code:
		line.SetBy = p.T("Set in the code.")
	case u.Set():
		line.SetBy = p.T("Set by an operator.")
	}
	line.Used = append(line.Used, p.T("%d running now.", u.Active))
	if u.Chosen > 0 {
		line.Used = append(line.Used, p.T("%d chosen to start next.", u.Chosen))
	}
	if u.Starts > 0 {
		line.Used = append(line.Used, p.T("%d started within the last %s.", u.Started, queue.FormatPeriod(u.Per)))
	}
	switch {
	case u.Kind == queue.LimitQueue:
		line.Waiting = h.link("/tasks", "limited", "1", "queue", u.Name)
	case h.registered(u.Name):
		line.Waiting = h.link("/tasks", "limited", "1", "task", u.Name)
	default:
		line.Waiting = h.link("/tasks", "limited", "1")
	}
	return line
}

// Period is how the form shows the period.
func (l *limitLine) Period() string {
	if l.Starts == 0 {
		return ""
	}
	return queue.FormatPeriod(l.Per)
}

// limited describes what a limit is of.
func (h *handler) limited(u queue.LimitUse) lang.Text {
	return waiting.Subject(u, h.registered(u.Name))
}

// limitMeans says what a limit is.
func limitMeans(p *lang.Printer, l queue.Limit) string {
	running, starts := lang.M("at most %d running", l.Running), lang.M("at most %d starts within %s", l.Starts, queue.FormatPeriod(l.Per))
	switch {
	case l.Running > 0 && l.Starts > 0:
		return p.T("%s, %s", running, starts)
	case l.Running > 0:
		return p.Text(running)
	case l.Starts > 0:
		return p.Text(starts)
	}
	return ""
}

// setLimit sets or removes a limit, or gives it back to the code. An empty field takes its part away.
func (h *handler) setLimit(v *visit) error {
	value := func(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }
	l := queue.Limit{Kind: queue.LimitKind(value("kind")), Name: value("name")}
	switch v.r.PostFormValue("do") {
	case "remove":
	case "reset":
		return h.changedLimit(v, func(ctx context.Context) (queue.Limit, error) {
			return h.Client.ResetLimit(ctx, l.Kind, l.Name, v.person.Name)
		})
	case "set":
		if err := readLimit(&l, value("running"), value("starts"), value("per")); err != nil {
			return err
		}
	default:
		return &pageError{http.StatusBadRequest, lang.M("No such action"), lang.M("Actions on limits are set, remove and reset.")}
	}
	return h.changedLimit(v, func(ctx context.Context) (queue.Limit, error) { return h.Client.SetLimit(ctx, l, v.person.Name) })
}

// changedLimit changes a limit, and says on the page of queues what it is now.
func (h *handler) changedLimit(v *visit, change func(context.Context) (queue.Limit, error)) error {
	set, err := change(v.r.Context())
	if err != nil {
		return err
	}
	h.stats.forget()
	of := h.limited(queue.LimitUse{Limit: set})
	text := v.t("Limit of %s: %s.", of, limitMeans(v.p, set))
	if !set.Set() {
		text = v.t("Limit of %s: removed. Tasks that wait only for this limit start in a moment.", of)
	}
	h.leaveNotice(v, notice{Text: text, Good: true})
	h.toQueues(v)
	return nil
}

// readLimit reads the fields of a limit.
func readLimit(l *queue.Limit, running, starts, per string) error {
	wrong := func(why lang.Text) error {
		return &pageError{http.StatusBadRequest, lang.M("Nothing was changed"), why}
	}
	number := func(text string) (int, bool) {
		n, err := strconv.Atoi(text)
		return n, text == "" || err == nil && n > 0 && n <= queue.MaxLimit
	}
	var ok bool
	if l.Running, ok = number(running); !ok {
		return wrong(lang.M("%q is not a maximum of running tasks: enter a whole number from 1 to %d, or nothing for no maximum. To let no task start, pause the queue.", clip(running, 40), queue.MaxLimit))
	}
	if l.Starts, ok = number(starts); !ok {
		return wrong(lang.M("%q is not a maximum of starts: enter a whole number from 1 to %d, or nothing for no maximum. To let no task start, pause the queue.", clip(starts, 40), queue.MaxLimit))
	}
	if l.Starts > 0 {
		d, err := time.ParseDuration(per)
		if err != nil || d < queue.MinPeriod || d > queue.MaxPeriod {
			return wrong(lang.M("%q is not a period: enter one from %s to %s, such as 1s, 1m or 24h.", clip(per, 40), queue.MinPeriod.String(), queue.FormatPeriod(queue.MaxPeriod)))
		}
		l.Per = d
	}
	if !l.Set() {
		return wrong(lang.M("Enter how many tasks may run at once, how many may start within a period, or both. To have no limit, use Remove limit."))
	}
	return nil
}

// limitUse returns the limits that concern a task that may wait for one.
func (h *handler) limitUse(v *visit, row *queue.Row) ([]queue.LimitUse, error) {
	if row.Status != queue.StatusReady || !h.stats.limited() {
		return nil, nil
	}
	return h.Client.LimitUse(v.r.Context(), row)
}
