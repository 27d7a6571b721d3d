package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"
)

type tasksCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists what this program registers. It needs no database.
func (c *tasksCmd) Run(_ context.Context, p *program) error {
	reg, err := registry(p.settings)
	if err != nil {
		return err
	}
	tasks := reg.Tasks()
	if c.JSON {
		return p.printJSON(map[string]any{"tasks": tasks})
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tQUEUE\tPRIORITY\tATTEMPTS\tTIMEOUT")
	for _, t := range tasks {
		timeout := "default"
		if t.Timeout > 0 {
			timeout = t.Timeout.Round(time.Millisecond).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", t.Name, t.Queue, t.Priority, t.MaxAttempts, timeout)
	}
	return w.Flush()
}
