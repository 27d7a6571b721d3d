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
)

// limitLine is one limit, what is used of it, and what its form has.
type limitLine struct {
	queue.LimitUse
	ID       string // of its fields
	Subject  string // queue emails
	Of       string // emails, task send
	Means    string // at most 20 running
	Used     string // 3 run now
	SetBy    string
	Code     string // what the code sets, if that is not in force
	Stuck    bool   // it lets no task start now
	Waiting  string // address of the tasks that wait for a limit
	MaxLimit int
	Back     string // where its form leads afterwards; empty: the page of all queues
}

// limitLines returns the limits, of queues by name, and of tasks and limit keys, with
// those that the code sets and that are not in force.
func (h *handler) limitLines(use []queue.LimitUse) (queues map[string]*limitLine, others []*limitLine) {
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
		line := h.limitLine(u)
		for _, l := range code {
			if set := l; same(u.Limit, l) {
				if set.Code = u.Code; set != u.Limit {
					line.Code = limitMeans(l)
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

func (h *handler) limitLine(u queue.LimitUse) *limitLine {
	id := fnv.New64a() // the page keeps what is open, by its ID, when it is loaded again
	_, _ = id.Write([]byte(string(u.Kind) + " " + u.Name))
	task := ""
	if h.registered(u.Name) {
		task = u.Name
	}
	line := &limitLine{LimitUse: u, ID: fmt.Sprintf("limit-%x", id.Sum(nil)), Subject: u.Subject(task), Means: limitMeans(u.Limit), Stuck: u.Reached(), MaxLimit: queue.MaxLimit}
	if line.Of = capitalized(line.Subject); u.Kind == queue.LimitQueue {
		line.Of = u.Name
	}
	switch {
	case u.Code:
		line.SetBy = "Set in the code."
	case u.Set():
		line.SetBy = "Set by an operator."
	}
	line.Used = fmt.Sprintf("%s %s now", num(u.Active), map[bool]string{true: "runs", false: "run"}[u.Active == 1])
	if u.Chosen > 0 {
		line.Used += fmt.Sprintf(", and %s chosen to start next", map[bool]string{true: "1 was", false: num(u.Chosen) + " were"}[u.Chosen == 1])
	}
	if u.Starts > 0 {
		line.Used += fmt.Sprintf(", and %s started within the last %s", num(u.Started), queue.FormatPeriod(u.Per))
	}
	switch {
	case u.Kind == queue.LimitQueue:
		line.Waiting = h.link("/tasks", "limited", "1", "queue", u.Name)
	case task != "":
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

// limitMeans says what a limit is.
func limitMeans(l queue.Limit) string {
	var parts []string
	if l.Running > 0 {
		parts = append(parts, fmt.Sprintf("at most %s running", num(l.Running)))
	}
	if l.Starts > 0 {
		parts = append(parts, fmt.Sprintf("at most %s within %s", count(l.Starts, "start"), queue.FormatPeriod(l.Per)))
	}
	return strings.Join(parts, ", ")
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
	use := queue.LimitUse{Limit: set}
	task := ""
	if h.registered(set.Name) {
		task = set.Name
	}
	text := fmt.Sprintf("The limit of %s is now %s.", use.Subject(task), limitMeans(set))
	if !set.Set() {
		text = fmt.Sprintf("The limit of %s is removed: tasks that wait for it alone start in a moment.", use.Subject(task))
	}
	h.leaveNotice(v, notice{Text: text, Good: true})
	h.toQueues(v)
	return nil
}

// readLimit reads the fields of a limit.
func readLimit(l *queue.Limit, running, starts, per string) error {
	wrong := func(format string, args ...any) error {
		return &pageError{http.StatusBadRequest, lang.M("Nothing was changed"), verbatim(fmt.Sprintf(format, args...))}
	}
	number := func(text string) (int, bool) {
		n, err := strconv.Atoi(text)
		return n, text == "" || err == nil && n > 0 && n <= queue.MaxLimit
	}
	var ok bool
	if l.Running, ok = number(running); !ok {
		return wrong("Running takes a whole number from 1 to %d, or nothing for any number, not %.40q. To run nothing, pause the queue.", queue.MaxLimit, running)
	}
	if l.Starts, ok = number(starts); !ok {
		return wrong("Starts takes a whole number from 1 to %d, or nothing for any number, not %.40q. To start nothing, pause the queue.", queue.MaxLimit, starts)
	}
	if l.Starts > 0 {
		d, err := time.ParseDuration(per)
		if err != nil || d < queue.MinPeriod || d > queue.MaxPeriod {
			return wrong("Within takes a duration such as 1s, 1m or 24h, from %s to %s, not %.40q.", queue.MinPeriod, queue.FormatPeriod(queue.MaxPeriod), per)
		}
		l.Per = d
	}
	if !l.Set() {
		return wrong("Write how many tasks may run at once, how many may start within a time, or both. Remove takes the limit away.")
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
