package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fatih/color"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// limitFlags are the parts of a limit.
type limitFlags struct {
	Running *string `placeholder:"N" help:"At most N tasks run at once, in all processes: 1 to 10000, or none."`
	Reset   bool    `help:"Back to what the code of the program sets, or to none if it sets none."`
	Starts  *string `placeholder:"N/PERIOD" help:"At most N tasks start within any period of this length, such as 10/1s or 1000/1h: N from 1 to 10000, the period from 1ms to 744h, or none."`
}

type limitsCmd struct {
	Action string `arg:"" optional:"" enum:"list,set,remove" default:"list" help:"list (the default), set or remove."`
	Name   string `arg:"" optional:"" help:"A task, or a limit key, for set and remove."`
	limitFlags
	Each bool `help:"The limit of each limit key of the task NAME, apart from that of the task."`
	JSON bool `name:"json" help:"Print what the endpoint answers."`
}

// Help describes whom a limit concerns, and shows examples.
func (*limitsCmd) Help() string {
	return `A limit of NAME counts the tasks that have this name, and those that have this limit
key, such as a tenant: the program derives it from the arguments (queue.LimitKey).
A part that set leaves out stays as it is. list lists the limits of queues too, which
{name} queues limit sets. What is set or removed here, the code does not change any
more, until set --reset gives it back.

Examples:
  {name} limits
  {name} limits set {task} --running 20 --starts 100/1m
  {name} limits set {task} --each --running 1
  {name} limits set tenant-17 --starts none
  {name} limits remove {task}`
}

// Run lists the limits, or changes one.
func (c *limitsCmd) Run(ctx context.Context, p *program) error {
	if c.Action == "list" {
		return c.list(ctx, p)
	}
	change := queue.LimitChange{Kind: queue.LimitName, Name: c.Name}
	if c.Each {
		change.Kind = queue.LimitEach
	}
	switch {
	case c.Name == "":
		return usagef("limits %s needs a name; usage: %s limits %s NAME", c.Action, p.name, c.Action)
	case c.Action == "set":
		if err := c.parse(p.name+" limits set "+c.Name, &change); err != nil {
			return err
		}
	case c.given() != "":
		return config.Problemf(c.given(), "belongs to limits set: limits remove takes away the whole limit")
	default:
		change.Running, change.Rate = new(int), new(queue.Rate)
	}
	return changeLimit(ctx, p, change, c.Action == "remove", c.JSON)
}

// given names a flag that was given; empty: none was.
func (f *limitFlags) given() string {
	switch {
	case f.Running != nil:
		return "--running"
	case f.Starts != nil:
		return "--starts"
	case f.Reset:
		return "--reset"
	}
	return ""
}

// parse reads the flags into a change. usage is the command without them.
func (f *limitFlags) parse(usage string, change *queue.LimitChange) error {
	if f.given() == "" {
		return usagef("give --running, --starts or both, as in: %s --running 20 --starts 100/1m", usage)
	}
	if f.Reset {
		if change.Reset = true; f.Running != nil || f.Starts != nil {
			return config.Problemf("--reset", "sets what the code of the program does: leave out --running and --starts")
		}
		return nil
	}
	var problems []error
	if f.Running != nil {
		n, ok := limitNumber(*f.Running)
		if change.Running = &n; !ok {
			problems = append(problems, config.Problemf("--running", "must be a whole number from 1 to %d, or none, not %.40q; to run nothing, pause the queue", queue.MaxLimit, *f.Running))
		}
	}
	if f.Starts != nil {
		rate, ok := parseStarts(*f.Starts)
		if change.Rate = &rate; !ok {
			problems = append(problems, config.Problemf("--starts", "must be N/PERIOD such as 10/1s, N from 1 to %d and the period from %s to %s, or none, not %.40q",
				queue.MaxLimit, queue.MinPeriod, queue.FormatPeriod(queue.MaxPeriod), *f.Starts))
		}
	}
	return errors.Join(problems...)
}

// limitNumber reads a number within bounds, or none, which is 0.
func limitNumber(text string) (n int, ok bool) {
	if text == "none" {
		return 0, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= queue.MaxLimit
}

// parseStarts reads N/PERIOD, or none.
func parseStarts(text string) (rate queue.Rate, ok bool) {
	if text == "none" {
		return rate, true
	}
	number, period, _ := strings.Cut(text, "/")
	per, err := config.ParseDuration(period)
	n, ok := limitNumber(number)
	return queue.Rate{Starts: n, Per: per}, ok && n > 0 && err == nil && per >= queue.MinPeriod && per <= queue.MaxPeriod
}

// changeLimit changes a limit, and prints what it is now.
func changeLimit(ctx context.Context, p *program, change queue.LimitChange, remove, inJSON bool) error {
	app, err := p.openToChange(ctx, true)
	if err != nil {
		return err
	}
	defer app.close()
	actor := commandLineUser(p.config.Env.Get)
	set := func() (queue.Limit, error) { return app.client.ChangeLimit(ctx, change, actor) }
	if remove {
		set = func() (queue.Limit, error) { return removeLimit(ctx, p, app.client, change, actor) }
	}
	if change.Reset {
		set = func() (queue.Limit, error) { return app.client.ResetLimit(ctx, change.Kind, change.Name, actor) }
	}
	limit, err := set()
	if err != nil {
		return p.inJSON(inJSON, refused(err))
	}
	answer := api.LimitSet(ctx, app.client, limit)
	if inJSON {
		return p.printJSON(answer)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %s\n", limitSubject(app.client.Registry(), limit), limitWords(limit))
	if answer.Warning != "" {
		p.say("warning: %s", printable(answer.Warning))
	}
	return err
}

// removeLimit removes a limit, or says that there is none and which one may be meant.
func removeLimit(ctx context.Context, p *program, client *queue.Client, change queue.LimitChange, actor string) (queue.Limit, error) {
	none := queue.Limit{Kind: change.Kind, Name: change.Name}
	if err := change.Check(); err != nil {
		return none, err
	}
	exists, other, err := api.LimitNamed(ctx, client, change.Kind, change.Name)
	subject := limitSubject(client.Registry(), none)
	switch {
	case err != nil:
		return none, err
	case exists:
		return client.ChangeLimit(ctx, change, actor)
	case other == queue.LimitQueue:
		return none, usagef("%s has no limit; the queue %[2]s has one, which %[3]s queues limit %[2]s --running none --starts none removes", subject, change.Name, p.name)
	case other == queue.LimitEach:
		return none, usagef("%s has no limit; each key of this task has one, which --each removes", subject)
	case other == queue.LimitName:
		return none, usagef("%s has no limit; to remove that of %s itself, leave out --each", subject, change.Name)
	}
	return none, usagef("%s has no limit, and nothing was changed: %s limits lists those that are set", subject, p.name)
}

// limitSubject says what a limit is of, in words.
func limitSubject(known *queue.Registry, l queue.Limit) string {
	use, task := queue.LimitUse{Limit: l}, ""
	for _, info := range known.Tasks() {
		if info.Name == l.Name {
			task = l.Name
		}
	}
	use.Name = limitName(l.Name)
	return use.Subject(task)
}

// limitWords says what a limit is.
func limitWords(l queue.Limit) string {
	var parts []string
	if l.Running > 0 {
		parts = append(parts, fmt.Sprintf("at most %d running", l.Running))
	}
	if l.Starts > 0 {
		parts = append(parts, fmt.Sprintf("at most %d starts within %s", l.Starts, queue.FormatPeriod(l.Per)))
	}
	if len(parts) == 0 {
		return "no limit"
	}
	return strings.Join(parts, ", ")
}

func (c *limitsCmd) list(ctx context.Context, p *program) error {
	switch {
	case c.Name != "":
		return usagef("limits list takes no name: it lists all limits")
	case c.Each:
		return config.Problemf("--each", "belongs to limits set and limits remove")
	case c.given() != "":
		return config.Problemf(c.given(), "belongs to limits set")
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	use, err := app.client.LimitUse(ctx, nil)
	if err != nil {
		return p.inJSON(c.JSON, err)
	}
	limits := api.LimitsOf(use, app.client.CodeLimits())
	if c.JSON {
		return p.printJSON(limits)
	}
	p.nameDatabase(false)
	t := p.newTable()
	t.head("KIND", "NAME", "RUNNING", "AT MOST", "STARTS", "SET BY", "IN THE CODE")
	for _, l := range limits.Limits {
		count, most, rate := usedWords(l), runningWords(l.Running), rateWords(l.Rate)
		if l.Kind == queue.LimitEach { // the count is of all keys, and the limit is not
			count, most, rate = words(count, "in all"), words(most, "each"), words(rate, "each")
		}
		code := ""
		if l.Code != nil {
			code = strings.Trim(words(runningWords(l.Code.Running), "running")+", "+words(rateWords(l.Code.Rate), "starts"), ", ")
		}
		t.row(plain(kindWords[l.Kind]), plain(limitName(l.Name)), plain(count), plain(most), plain(rate), plain(l.SetBy), coloured(code, color.FgYellow))
	}
	return t.print(p.stdout)
}

// words puts a word behind a number, if there is one.
func words(number, word string) string {
	if number == "" {
		return ""
	}
	return number + " " + word
}

// limitName is the name of a limit for people: a limit key may begin or end with a space,
// or have a line break.
func limitName(name string) string {
	if name != strings.TrimSpace(name) || name != printable(name) {
		return strconv.Quote(name)
	}
	return name
}

// kindWords are the kinds of limits in lists.
var kindWords = map[queue.LimitKind]string{queue.LimitQueue: "queue", queue.LimitName: "task or key", queue.LimitEach: "each key of"}

// usedWords is how many run, and were chosen to start next, for a list.
func usedWords(l api.Limit) string {
	count := runningWords(l.RunningCount)
	if l.ChosenCount > 0 {
		count += fmt.Sprintf(" (%d chosen)", l.ChosenCount)
	}
	return count
}

// runningWords is how many may run, for a list.
func runningWords(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

// rateWords is how many may start, for a list, as --starts takes it.
func rateWords(r *queue.QueueRate) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%d/%s", r.Starts, r.Per)
}
