package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fatih/color"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/waiting"
)

// whyWaiting explains what keeps a READY task from starting, as the page of the task
// does; empty: nothing is known to. What cannot be read is a warning, since the task
// itself was read.
func (p *program) whyWaiting(ctx context.Context, client *queue.Client, row *queue.Row) string {
	if row.Status != queue.StatusReady {
		return ""
	}
	var parts []string
	gates := p.pauses(ctx, client, row.Queue)
	for _, g := range gates {
		parts = append(parts, waiting.Paused(g).String()+" The pause began at "+when(g.PausedAt)+".")
	}
	if len(gates) == 0 && row.Parked() {
		parts = append(parts, waiting.Parked(row).String())
	}
	if now := time.Now(); api.DueAt(row).After(now) {
		parts = append(parts, waiting.Delayed(row, now).String())
	} else if why := waiting.Limited(row, p.limits(ctx, client, row)).String(); why != "" && !row.Parked() {
		parts = append(parts, why)
	}
	return strings.Join(parts, " ")
}

// rowsOfWaits adds to a table of counts which queues are paused and which limits let no
// task start. name is the queue that is counted; empty: all.
func (p *program) rowsOfWaits(ctx context.Context, client *queue.Client, name string, t *table) {
	for _, g := range p.pauses(ctx, client, name) {
		text := fmt.Sprintf("%s, by %s since %s", g.Queue, cmp.Or(g.PausedBy, "an operator"), when(g.PausedAt))
		if g.PauseReason != "" {
			text += " (" + g.PauseReason + ")"
		}
		t.row(plain("paused queue"), coloured(text, color.FgYellow))
	}
	for _, u := range p.limits(ctx, client, nil) {
		if !u.Reached() || name != "" && u.Kind == queue.LimitQueue && u.Name != name {
			continue
		}
		t.row(plain("limit reached"), coloured(limitSubject(client.Registry(), u.Limit)+": "+u.Reason(), color.FgYellow))
	}
}

// pauses returns the paused queues, or the one of that name if it is paused.
func (p *program) pauses(ctx context.Context, client *queue.Client, name string) (paused []queue.Gate) {
	gates, err := client.Gates(ctx)
	p.unread("which queues are paused", err)
	for _, g := range gates {
		if g.Paused() && (name == "" || g.Queue == name) {
			paused = append(paused, g)
		}
	}
	return paused
}

// limits returns how much is used of the limits, with a row of those that concern it.
func (p *program) limits(ctx context.Context, client *queue.Client, row *queue.Row) []queue.LimitUse {
	use, err := client.LimitUse(ctx, row)
	p.unread("which limits are reached", err)
	return use
}

// unread warns of what could not be read, and not of what the store does not have.
func (p *program) unread(what string, err error) {
	if err != nil && !errors.Is(err, queue.ErrUnsupported) {
		p.say("warning: %s could not be read: %s", what, err)
	}
}
