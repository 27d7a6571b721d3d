package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// watchPause is how often result --watch reads the task.
const watchPause = time.Second

// watch prints a line whenever the shown state of a task has changed, and returns the
// task once it has ended. With asJSON each line is what the endpoint answers.
func (p *program) watch(ctx context.Context, client *queue.Client, id uuid.UUID, asJSON bool) (*queue.Row, error) {
	for last := ""; ; {
		row, err := client.Get(ctx, id)
		if err != nil || row.Status.Final() {
			return row, err
		}
		if line := watchLine(row); line != last {
			last = line
			if asJSON {
				err = p.printJSON(resultAnswer{Result: row})
			} else {
				_, err = fmt.Fprintln(p.stdout, time.Now().UTC().Format(time.TimeOnly), line)
			}
			if err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, errInterrupted
		case <-time.After(watchPause):
		}
	}
}

// watchLine is the state of a task that has not ended.
func watchLine(row *queue.Row) string {
	parts := []string{string(row.Status), fmt.Sprintf("attempt %d of %d", row.Attempts, row.MaxAttempts)}
	if row.Progress != nil {
		parts = append(parts, api.Progress(*row.Progress))
	}
	if row.Note != "" {
		parts = append(parts, printable(row.Note))
	}
	return strings.Join(parts, "  ")
}
