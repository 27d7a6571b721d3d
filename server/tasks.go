package server

import (
	"context"
	"fmt"
	"slices"

	"github.com/invopop/jsonschema"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/argschema"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

type tasksCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists what this program registers. It contacts no database.
func (c *tasksCmd) Run(ctx context.Context, p *program) error {
	if p.own.Setup != nil {
		mode, err := p.config.Mode()
		if err != nil {
			return err
		}
		app := p.newApp(mode)
		defer app.close()
		if err := app.setUp(ctx); err != nil {
			return err
		}
	}
	tasks := slices.DeleteFunc(p.known.Tasks(), func(t queue.TaskInfo) bool { return t.Name == doctor.ProbeName }) // doctor's
	if c.JSON {
		type described struct {
			queue.TaskInfo
			TimeoutMS  int64              `json:"timeout_ms,omitempty"`
			ArgsSchema *jsonschema.Schema `json:"args_schema"`
		}
		list := make([]described, len(tasks))
		for i, t := range tasks {
			list[i] = described{t, t.Timeout.Milliseconds(), argschema.Of(t.Args)}
		}
		return p.printJSON(map[string]any{"tasks": list})
	}
	table := p.newTable()
	table.head("NAME", "QUEUE", "PRIORITY", "ATTEMPTS", "TIMEOUT")
	for _, t := range tasks {
		timeout := "default"
		if t.Timeout > 0 {
			timeout = t.Timeout.String()
		}
		table.row(plain(t.Name), plain(t.Queue), plain(fmt.Sprint(t.Priority)), plain(fmt.Sprint(t.MaxAttempts)), plain(timeout))
	}
	return table.print(p.stdout)
}
