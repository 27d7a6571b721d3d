package server

import (
	"context"
	"encoding/json"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

func (c *schedulesCmd) add(ctx context.Context, p *program, client *queue.Client, actor string) error {
	request := queue.ScheduleRequest{Name: c.Name, Task: *c.Task, Spec: *c.Spec, Paused: c.Paused, Actor: actor}
	if c.Args != nil {
		if !json.Valid([]byte(*c.Args)) {
			return config.Problemf("--args", "must be JSON, not %.60q; quote it for the shell, as in '{\"name\":\"value\"}'", *c.Args)
		}
		request.Args = json.RawMessage(*c.Args)
	}
	if c.Zone != nil {
		request.Zone = *c.Zone
	}
	if c.CatchUp != nil {
		request.CatchUp = queue.CatchUp(*c.CatchUp)
	}
	if c.Overlap != nil {
		request.Overlap = queue.Overlap(*c.Overlap)
	}
	options, err := c.options()
	if err != nil {
		return err
	}
	request.Options = options
	s, created, err := client.PutSchedule(ctx, request)
	done := "changed"
	if created {
		done = "added"
	}
	return c.changed(p, s, done, err)
}

// options are those of the tasks of a schedule that is added.
func (c *schedulesCmd) options() ([]queue.Option, error) {
	options, err := sharedOptions(c.Queue, c.Backend, c.Priority, c.KeepSuccessful, c.KeepFailed)
	if err != nil {
		return nil, err
	}
	if c.ExpiresIn != nil {
		options = append(options, queue.ExpiresIn(*c.ExpiresIn))
	}
	key, err := api.Unique{Key: c.UniqueKey, For: c.UniqueFor}.Option("--unique-key", "--unique-for", "")
	if err != nil {
		return nil, usagef("%w", err)
	}
	if key != nil {
		options = append(options, key)
	}
	return options, nil
}
