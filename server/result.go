package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

type resultCmd struct {
	ID   string `arg:"" help:"The task's ID."`
	JSON bool   `name:"json" help:"Print what the endpoint answers."`
}

// Run prints one task; there being none is a failure.
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
	row, err := app.client.Get(ctx, id)
	if err == nil {
		p.nameDatabase(c.JSON)
		return p.printResult(row, c.JSON)
	}
	if err = p.inJSON(c.JSON, err); errors.Is(err, queue.ErrNotFound) {
		return p.notFound(id)
	}
	return err
}

// notFound names the database that has no such task.
func (p *program) notFound(id uuid.UUID) error {
	rawURL, _ := p.config.DatabaseURL()
	return fmt.Errorf("task %s not found: it never was in this database (%s), or was purged", id, describeDatabase(rawURL))
}

// inJSON prints what the endpoints answer to an error, with --json, and returns
// it: what the command itself says of it goes to stderr all the same, and may say
// more.
func (p *program) inJSON(asJSON bool, err error) error {
	if !asJSON || err == nil {
		return err
	}
	return errors.Join(p.printJSON(httpapi.ErrorAnswer(err).Body), err)
}

func parseTaskID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || id == uuid.Nil {
		return id, usagef("ID must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057, not %.100q", s)
	}
	return id, nil
}

// printResult prints a task for people, or as {"result":…}.
func (p *program) printResult(row *queue.Row, asJSON bool) error {
	if asJSON {
		return p.printJSON(map[string]*queue.Row{"result": row})
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	field := func(name string, value any) {
		if text := fmt.Sprint(value); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, printable(text))
		}
	}
	field("id", row.ID)
	field("status", row.Status)
	field("task", row.Task)
	field("queue", row.Queue)
	field("priority", row.Priority)
	field("attempts", fmt.Sprintf("%d of %d", row.Attempts, row.MaxAttempts))
	field("enqueued", when(row.EnqueuedAt))
	field("run after", when(row.RunAfter))
	field("retry at", when(row.RetryAt))
	field("started", when(row.StartedAt))
	field("finished", when(row.FinishedAt))
	field("returned", string(row.ReturnValue))
	field("not dispatched", row.DispatchError)
	for _, e := range row.Errors {
		field(fmt.Sprintf("error of attempt %d", e.Attempt), e.ExceptionClassPath+": "+e.Message)
	}
	return w.Flush()
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// printable keeps what a task wrote from controlling the terminal.
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
