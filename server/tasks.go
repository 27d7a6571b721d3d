package server

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/claimcheck-go/claimcheck/queue"
)

type tasksCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists what this program registers. It needs no database.
func (c *tasksCmd) Run(_ context.Context, p *program) error {
	tasks := slices.DeleteFunc(p.knownTasks().Tasks(), func(t queue.TaskInfo) bool { return t.Name == probeTask }) // doctor's own
	if c.JSON {
		type described struct {
			queue.TaskInfo
			Runnable  bool  `json:"runnable"` // all of them are, where tasks are run
			TimeoutMS int64 `json:"timeout_ms,omitempty"`
		}
		list := make([]described, len(tasks))
		for i, t := range tasks {
			list[i] = described{t, true, t.Timeout.Milliseconds()}
		}
		return p.printJSON(map[string]any{"tasks": list})
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tQUEUE\tPRIORITY\tATTEMPTS\tTIMEOUT")
	for _, t := range tasks {
		timeout := "default"
		if t.Timeout > 0 {
			timeout = t.Timeout.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", t.Name, t.Queue, t.Priority, t.MaxAttempts, timeout)
	}
	return w.Flush()
}
