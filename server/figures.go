package server

import (
	"context"
	"fmt"
	"time"

	"github.com/fatih/color"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

type figuresCmd struct {
	Since   *string `placeholder:"TIME" help:"Tasks that ended at or after this time (RFC 3339), or at most this long ago (90m, 12h, 7d), in whole hours. Default: a day."`
	Until   *string `placeholder:"TIME" help:"Tasks that ended before this time. Default: now."`
	Task    string  `placeholder:"NAME" help:"Only tasks of this name."`
	Queue   string  `placeholder:"NAME" help:"Only tasks of this queue."`
	Backend string  `placeholder:"NAME" help:"Only tasks of this backend."`
	JSON    bool    `name:"json" help:"Print what the endpoint answers, with each hour."`
}

// Help says what the columns are.
func (*figuresCmd) Help() string {
	return `How tasks have ended, and how long they waited and ran, by type and queue. WAIT is
from when a task was due until its first attempt began, RUN the duration of the last
attempt: 50, 95 and 99 of 100 took no longer, within an eighth. Sweeps count, for 90
days, also what has been purged since.

Examples:
  {name} figures
  {name} figures --since 7d --task emails.send_welcome --json`
}

// Run prints a line for each type and queue.
func (c *figuresCmd) Run(ctx context.Context, p *program) error {
	r := queue.FiguresRequest{Task: c.Task, Queue: c.Queue, Backend: c.Backend}
	now := time.Now()
	since, err := filterTime("--since", c.Since, now)
	var until time.Time
	if err == nil {
		until, err = filterTime("--until", c.Until, now)
	}
	if err != nil {
		return err
	}
	var ok bool
	if r.Since, r.Until, ok = api.FiguresPeriod(since, until, now); !ok {
		return config.Problemf("--since", api.FiguresAccepted)
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	figures, err := app.client.Figures(ctx, r)
	if err != nil {
		return p.inJSON(c.JSON, refused(err))
	}
	answer := api.NewFiguresAnswer(figures, r.Since, r.Until)
	if c.JSON {
		return p.printJSON(answer)
	}
	p.nameDatabase(false)
	return c.print(p, answer)
}

func (c *figuresCmd) print(p *program, answer api.FiguresAnswer) error {
	t := p.newTable()
	t.head("TASK", "QUEUE", "ENDED", "AN HOUR", "FAILED", "OF", "CANCELLED", "WAIT 50%", "95%", "99%", "RUN 50%", "95%", "99%", "ATTEMPTS 95%")
	line := func(task, name string, o api.OutcomesBody) {
		failed := plain(fmt.Sprint(o.Failed))
		if o.Failed > 0 {
			failed = coloured(failed.text, color.FgRed)
		}
		cells := []cell{plain(task), plain(name), plain(fmt.Sprint(o.Ended())), plain(fmt.Sprintf("%.1f", o.PerHour)), failed, plain(fmt.Sprintf("%.1f %%", 100*o.ErrorRate)), plain(fmt.Sprint(o.Cancelled))}
		for _, q := range []*api.QuantilesBody{o.Wait, o.Run} {
			if q == nil {
				cells = append(cells, plain("-"), plain("-"), plain("-"))
				continue
			}
			for _, seconds := range []float64{q.P50, q.P95, q.P99} {
				cells = append(cells, plain(brief(seconds)))
			}
		}
		attempts := plain("-")
		if o.Attempts != nil {
			attempts = plain(fmt.Sprintf("%.0f", o.Attempts.P95))
		}
		t.row(append(cells, attempts)...)
	}
	for _, f := range answer.Tasks {
		if f.Task == "" {
			f.Task = "(others)"
		}
		line(f.Task, f.Queue, f.OutcomesBody)
	}
	line("all", "", answer.Total)
	if err := t.print(p.stdout); err != nil {
		return err
	}
	p.say("from %s until %s", when(answer.Since), when(answer.Through))
	return nil
}

// brief is a number of seconds with about two digits.
func brief(seconds float64) string {
	switch {
	case seconds < 0.001:
		return "<1ms"
	case seconds < 1:
		return fmt.Sprintf("%.0fms", 1000*seconds)
	case seconds < 10:
		return fmt.Sprintf("%.1fs", seconds)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}
