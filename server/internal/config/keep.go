package config

import (
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Keep returns how long the rows of tasks are kept that do not say so themselves, nil
// for until a purge.
func (c *Config) Keep() (*queue.Retention, error) {
	const successful, failed = "TASKS_KEEP_SUCCESSFUL", "TASKS_KEEP_FAILED"
	s := c.Settings
	switch {
	case s.TasksKeepSuccessful == "" && s.TasksKeepFailed == "":
		return nil, nil
	case s.TasksKeepSuccessful == "":
		return nil, Problemf(successful, "is not set, but %s is: set both, or neither", failed)
	case s.TasksKeepFailed == "":
		return nil, Problemf(failed, "is not set, but %s is: set both, or neither", successful)
	}
	keep := new(queue.Retention)
	for _, setting := range []struct {
		name, text string
		to         *time.Duration
	}{{successful, s.TasksKeepSuccessful, &keep.Successful}, {failed, s.TasksKeepFailed, &keep.Failed}} {
		d, err := ParseDuration(setting.text)
		if err != nil || d < 0 || d > queue.LongestKeep {
			return nil, Problemf(setting.name, "must be a duration from 0 to %s such as 24h, or a number of seconds, not %.60q", fmt.Sprintf("%dh", int(queue.LongestKeep.Hours())), setting.text)
		}
		*setting.to = d
	}
	return keep, nil
}
