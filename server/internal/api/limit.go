package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Limit is a limit in answers.
type Limit struct {
	Kind    queue.LimitKind  `json:"kind"`
	Name    string           `json:"name"`
	Running *int             `json:"running"` // nil: no such part
	Rate    *queue.QueueRate `json:"rate"`    // nil: no such part
	SetBy   string           `json:"set_by"`  // code or operator; none: see CodeLimit
	// How many tasks run that the limit counts, in lists.
	RunningCount *int `json:"running_count,omitempty"`
	// In lists: how many were chosen to start next, and take up the limit until their
	// deliveries come.
	ChosenCount int `json:"chosen_count,omitempty"`
	// In lists: what the code sets, if that is not in force.
	Code *CodeLimit `json:"code,omitempty"`
	// Why it seems to limit nothing, when it has been set.
	Warning string `json:"warning,omitempty"`
}

// Limits is the answer that lists limits.
type Limits struct {
	Limits []Limit `json:"limits"`
}

// LimitOf returns the answer that is one limit.
func LimitOf(l queue.Limit) Limit {
	answer := Limit{Kind: l.Kind, Name: l.Name, SetBy: "operator"}
	if l.Code {
		answer.SetBy = "code"
	}
	if l.Running > 0 {
		answer.Running = &l.Running
	}
	if l.Starts > 0 {
		answer.Rate = &queue.QueueRate{Starts: l.Starts, Per: queue.FormatPeriod(l.Per)}
	}
	return answer
}

// LimitSet returns the answer to a change of a limit, with a warning where an operator has
// set it and it seems to limit nothing.
func LimitSet(ctx context.Context, client *queue.Client, l queue.Limit) Limit {
	answer := LimitOf(l)
	if l.Set() && !l.Code {
		answer.Warning = client.LimitDoubt(ctx, l)
	}
	return answer
}

// LimitNamed reports whether a limit exists, or has existed, and else the kind of another
// limit of that name; none if there is none.
func LimitNamed(ctx context.Context, client *queue.Client, kind queue.LimitKind, name string) (exists bool, other queue.LimitKind, err error) {
	for _, k := range []queue.LimitKind{kind, queue.LimitQueue, queue.LimitName, queue.LimitEach} {
		known, err := client.HasLimit(ctx, k, name)
		switch {
		case err != nil:
			return false, "", err
		case known && k == kind:
			return true, "", nil
		case known:
			return false, k, nil
		}
	}
	return false, "", nil
}

// RemovesNothing says, before a change, that it only takes parts away from a limit that
// does not exist, and which one may be meant; else it returns an empty text.
func RemovesNothing(ctx context.Context, client *queue.Client, c queue.LimitChange) (string, error) {
	if c.Reset || c.Running != nil && *c.Running > 0 || c.Rate != nil && c.Rate.Starts > 0 {
		return "", nil
	}
	if err := c.Check(); err != nil {
		return "", err
	}
	exists, other, err := LimitNamed(ctx, client, c.Kind, c.Name)
	if exists || err != nil {
		return "", err
	}
	what := map[queue.LimitKind]string{queue.LimitQueue: "this queue", queue.LimitName: "this name", queue.LimitEach: "each key of this task"}
	text := what[c.Kind] + " had no limit"
	switch other {
	case queue.LimitQueue:
		return text + "; the queue of this name has one, which PUT /tasks/queues/NAME/limit/ removes", nil
	case queue.LimitName:
		return text + "; the task or key of this name has one, which PUT /tasks/limits/NAME/ without each removes", nil
	case queue.LimitEach:
		return text + "; each key of the task of this name has one, which PUT /tasks/limits/NAME/ with each removes", nil
	}
	return text + ": GET /tasks/limits/ lists those that are set", nil
}

// CodeLimit is what the code sets, where an operator has changed or removed it, or it was
// not set yet.
type CodeLimit struct {
	Running *int             `json:"running"`
	Rate    *queue.QueueRate `json:"rate"`
}

// LimitsOf returns the answer that lists limits, with those that the code sets and that are
// not in force.
func LimitsOf(use []queue.LimitUse, code []queue.Limit) Limits {
	list := Limits{Limits: make([]Limit, 0, len(use))}
	for _, u := range use {
		l := LimitOf(u.Limit)
		l.RunningCount, l.ChosenCount = &u.Active, u.Chosen
		list.Limits = append(list.Limits, l)
	}
	for _, set := range code {
		i := slices.IndexFunc(use, func(u queue.LimitUse) bool { return u.Kind == set.Kind && u.Name == set.Name })
		in := LimitOf(set)
		switch differs := &(CodeLimit{in.Running, in.Rate}); {
		case i < 0:
			list.Limits = append(list.Limits, Limit{Kind: set.Kind, Name: set.Name, SetBy: "none", Code: differs})
		case use[i].Running != set.Running || use[i].Starts != set.Starts || use[i].Per != set.Per.Truncate(time.Microsecond):
			list.Limits[i].Code = differs
		}
	}
	slices.SortStableFunc(list.Limits, func(a, b Limit) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return list
}

// ParseLimitChange reads the body that changes a limit of a queue or, with each, of a task
// or a key. A change with Reset gives the limit back to the code. Its errors name the
// field and what it accepts.
func ParseLimitChange(kind queue.LimitKind, name string, body []byte) (queue.LimitChange, error) {
	var running, rate json.RawMessage
	var each, reset *bool
	fields := map[string]any{"running": &running, "rate": &rate, "reset": &reset}
	if kind == queue.LimitName {
		fields["each"] = &each
	}
	c := queue.LimitChange{Kind: kind, Name: name}
	if err := DecodeObject(body, fields); err != nil {
		return c, err
	}
	if each != nil && *each {
		c.Kind = queue.LimitEach
	}
	if c.Reset = reset != nil && *reset; c.Reset {
		if running != nil || rate != nil {
			return c, BadRequest("reset sets what the code of the program does: leave out running and rate")
		}
		return c, nil
	}
	if running == nil && rate == nil {
		return c, BadRequest(`give running, rate or both: {"running":20,"rate":{"starts":10,"per":"1s"}}; null takes a part away`)
	}
	var err error
	if c.Running, err = parseRunning(running); err != nil {
		return c, err
	}
	c.Rate, err = parseRate(rate)
	return c, err
}

// parseRunning reads the field running.
func parseRunning(field json.RawMessage) (*int, error) {
	n := 0
	switch {
	case field == nil:
		return nil, nil
	case string(field) == "null":
		return &n, nil
	}
	if err := json.Unmarshal(field, &n); err != nil || n < 1 || n > queue.MaxLimit {
		return nil, BadRequest("running must be a whole number from 1 to %d, or null to take this part away; to run nothing, pause the queue", queue.MaxLimit)
	}
	return &n, nil
}

// parseRate reads the field rate.
func parseRate(field json.RawMessage) (*queue.Rate, error) {
	switch {
	case field == nil:
		return nil, nil
	case string(field) == "null":
		return &queue.Rate{}, nil
	}
	var starts *int
	var per *string
	refuse := func(more string) error {
		return BadRequest(`rate must be {"starts":N,"per":D}, N starts from 1 to %d within a duration D such as "1s" from %s to %s, or null to take this part away%s`,
			queue.MaxLimit, queue.MinPeriod, queue.FormatPeriod(queue.MaxPeriod), more)
	}
	if err := DecodeObject(field, map[string]any{"starts": &starts, "per": &per}); err != nil {
		return nil, refuse(": " + err.Error())
	}
	if starts == nil || per == nil || *starts < 1 || *starts > queue.MaxLimit {
		return nil, refuse("")
	}
	d, err := time.ParseDuration(*per)
	if err != nil || d < queue.MinPeriod || d > queue.MaxPeriod {
		return nil, refuse(fmt.Sprintf(": per is %.60q", *per))
	}
	return &queue.Rate{Starts: *starts, Per: d}, nil
}
