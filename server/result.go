package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

type resultCmd struct {
	ID    string `arg:"" help:"The task's ID."`
	Args  bool   `help:"Print the task's arguments and its checkpoint too."`
	Watch bool   `help:"Print a line whenever its status, progress or note changes, and the task once it has ended."`
	JSON  bool   `name:"json" help:"Print what the endpoint answers."`
}

// Run prints one task, with --watch once it has ended. It fails if there is no such task.
func (c *resultCmd) Run(ctx context.Context, p *program) error {
	id, err := parseTaskID(c.ID)
	if err != nil {
		return err
	}
	app, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer app.close()
	read := app.client.Get
	if c.Watch {
		read = func(ctx context.Context, id uuid.UUID) (*queue.Row, error) {
			return p.watch(ctx, app.client, id, c.JSON)
		}
	}
	row, err := read(ctx, id)
	if err == nil {
		p.nameDatabase(c.JSON)
		var why string
		if !c.JSON {
			why = p.whyWaiting(ctx, app.client, row)
		}
		return p.printTask(row, c.JSON, c.Args, why)
	}
	return p.located(id, p.inJSON(c.JSON, err))
}

// located returns err, or in place of [queue.ErrNotFound] an error that names the task
// and the database.
func (p *program) located(id uuid.UUID, err error) error {
	if errors.Is(err, queue.ErrNotFound) {
		return p.notFound(id)
	}
	return err
}

// notFound names the database that has no such task.
func (p *program) notFound(id uuid.UUID) error {
	rawURL, _ := p.config.DatabaseURL()
	return fmt.Errorf("task %s not found: it was never in this database (%s), or was deleted or purged", id, stores.Describe(rawURL))
}

// inJSON prints the endpoints' answer to an error, with --json, and returns the
// error, whose own text, on stderr, may be more detailed.
func (p *program) inJSON(asJSON bool, err error) error {
	if !asJSON || err == nil {
		return err
	}
	return errors.Join(p.printJSON(api.ErrorAnswer(err).Body), err)
}

func parseTaskID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || id == uuid.Nil {
		return id, usagef("ID must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057, not %.100q", s)
	}
	return id, nil
}

// resultAnswer is the answer of the endpoint, with the arguments if requested.
type resultAnswer struct {
	Result *queue.Row      `json:"result"`
	Args   json.RawMessage `json:"args,omitempty"`
}

// printResult prints a task as a table, or as {"result":…}.
func (p *program) printResult(row *queue.Row, asJSON bool) error {
	return p.printTask(row, asJSON, false, "")
}

// printTask prints a task, with its arguments and what it waits for.
func (p *program) printTask(row *queue.Row, asJSON, withArgs bool, why string) error {
	withArgs = withArgs && !row.ArgsSealed()
	if asJSON {
		answer := resultAnswer{Result: row}
		if withArgs {
			answer.Args = row.Args
		}
		return p.printJSON(answer)
	}
	t := p.newTable()
	field := func(name string, value cell) {
		if value.text != "" {
			t.row(plain(name), value)
		}
	}
	field("id", plain(row.ID.String()))
	field("status", statusCell(row.Status))
	field("waits", coloured(why, color.FgYellow))
	field("task", plain(row.Task))
	field("queue", plain(row.Queue))
	field("priority", plain(fmt.Sprint(row.Priority)))
	field("unique key", plain(row.UniqueKey))
	field("limit key", plain(row.LimitKey))
	field("encrypted with", plain(row.KeyID))
	field("unreadable", coloured(row.Unreadable, color.FgYellow))
	field("schedule", plain(row.Schedule))
	field("scheduled for", plain(when(row.ScheduledFor)))
	if withArgs {
		field("arguments", plain(string(row.Args)))
	}
	if withArgs {
		field("checkpoint", plain(string(row.Checkpoint)))
	}
	field("attempts", plain(fmt.Sprintf("%d of %d", row.Attempts, row.MaxAttempts)))
	if row.Progress != nil {
		field("progress", plain(api.Progress(*row.Progress)))
	}
	field("note", plain(row.Note))
	field("enqueued", plain(when(row.EnqueuedAt)))
	field("run after", plain(when(row.RunAfter)))
	field("expires at", plain(when(row.ExpiresAt)))
	field("retry at", plain(when(row.RetryAt)))
	field("started", plain(when(row.StartedAt)))
	field("finished", plain(when(row.FinishedAt)))
	field("returned", plain(string(row.ReturnValue)))
	field("not dispatched", coloured(row.DispatchError, color.FgYellow))
	for _, e := range row.Errors {
		field(fmt.Sprintf("error of attempt %d", e.Attempt), coloured(e.ExceptionClassPath+": "+e.Message, color.FgRed))
	}
	return t.print(p.stdout)
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// printable replaces control characters: a task's text must not control the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

func (p *program) printJSON(v any) error { return writeJSON(p.stdout, v) }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
