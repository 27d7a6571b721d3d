package config

import (
	"strconv"
	"strings"
)

// MaxBacklog returns how many READY tasks each queue may have, under the empty name
// those that are not named. Nil is no bound.
func (c *Config) MaxBacklog() (map[string]int, error) {
	const name, takes = "TASKS_MAX_BACKLOG", "numbers of at least 1, each with the name of a queue or for all others, such as emails=500,10000"
	if err := CheckNamed(name, c.Settings.TasksMaxBacklog, takes); err != nil {
		return nil, err
	}
	var bounds map[string]int
	for _, item := range NonEmpty(c.Settings.TasksMaxBacklog) {
		queue, number, named := strings.Cut(item, "=")
		if queue = strings.TrimSpace(queue); !named {
			queue, number = "", queue
		}
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || n < 1 || named && !validQueueName(queue) {
			return nil, Problemf(name, ": %.100q is not understood: it takes %s", item, takes)
		}
		if _, twice := bounds[queue]; twice {
			return nil, Problemf(name, "has two numbers for the same queue: %.100q is the second", item)
		}
		if bounds == nil {
			bounds = make(map[string]int)
		}
		bounds[queue] = n
	}
	return bounds, nil
}
