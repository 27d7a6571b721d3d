package queue

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

// Registry contains the tasks of a program by their names. It never changes, so it is
// safe for concurrent use.
type Registry struct {
	byName    map[string]definition // aliases too
	runnable  []string              // names and aliases that have a function, sorted
	schedules []*Periodic           // by name
}

// NewRegistry makes a registry of the tasks that a program enqueues and runs, and of
// its schedules. It panics when a definition is nil, when two tasks have the same name
// or alias, and when two schedules have the same name.
func NewRegistry(defs ...Definition) *Registry {
	r := &Registry{byName: make(map[string]definition)}
	for i, def := range defs {
		if isNil(def) {
			panic(fmt.Sprintf("queue: NewRegistry: definition %d is nil: make it with NewTask or Declare", i+1))
		}
		d := def.definition()
		if d.periodic != nil {
			r.addSchedule(d.periodic)
			continue
		}
		if d.name == "" {
			panic(fmt.Sprintf("queue: NewRegistry: definition %d has no name: make it with NewTask or Declare", i+1))
		}
		for _, name := range append([]string{d.name}, d.options.aliases...) {
			if _, taken := r.byName[name]; taken {
				panic(fmt.Sprintf("queue: NewRegistry: two tasks are named %q: list each task once, and give the other one another name", name))
			}
			r.byName[name] = d
			if d.run != nil {
				r.runnable = append(r.runnable, name)
			}
		}
	}
	slices.Sort(r.runnable)
	slices.SortFunc(r.schedules, func(a, b *Periodic) int { return strings.Compare(a.name, b.name) })
	return r
}

// HasSchedules reports whether the registry has any schedule.
func (r *Registry) HasSchedules() bool { return len(r.schedules) > 0 }

// definesSchedule reports whether the registry has a schedule of a name.
func (r *Registry) definesSchedule(name string) bool {
	return slices.ContainsFunc(r.schedules, func(p *Periodic) bool { return p.name == name })
}

func (r *Registry) addSchedule(p *Periodic) {
	if p.name == "" {
		panic("queue: NewRegistry: a schedule has no name: make it with Every")
	}
	if slices.ContainsFunc(r.schedules, func(other *Periodic) bool { return other.name == p.name }) {
		panic(fmt.Sprintf("queue: NewRegistry: two schedules are named %q: list each once, and give the other one another name", p.name))
	}
	r.schedules = append(r.schedules, p)
}

// TaskInfo describes one registered task: its defaults, and whether it can run here.
type TaskInfo struct {
	Name        string        `json:"name"`
	Aliases     []string      `json:"aliases,omitempty"`
	Queue       string        `json:"queue_name"`
	Backend     string        `json:"backend_name"`
	Priority    int           `json:"priority"`
	MaxAttempts int           `json:"max_attempts"`
	Timeout     time.Duration `json:"-"` // 0: the executor's default
	Runnable    bool          `json:"runnable"`
	StrictArgs  bool          `json:"strict_args,omitempty"` // arguments with unknown fields are refused
	Unique      bool          `json:"unique,omitempty"`      // the arguments have a key: UniqueBy or UniqueArgs
	OnFailed    string        `json:"on_failed,omitempty"`   // the task that a final failure enqueues
	Encrypted   bool          `json:"encrypted,omitempty"`   // it is never stored in plain text: Encrypt(true)
	Description string        `json:"description,omitempty"`
	LimitKey    bool          `json:"-"` // the arguments have a limit key
	Backoff     bool          `json:"-"` // the task has a backoff of its own: Registry.Backoff
	Args        reflect.Type  `json:"-"` // of its arguments; package argschema describes it
}

// Tasks describes the registered tasks, sorted by name.
func (r *Registry) Tasks() []TaskInfo {
	var infos []TaskInfo
	for name, d := range r.byName {
		if name != d.name {
			continue // an alias
		}
		infos = append(infos, TaskInfo{
			Name: d.name, Aliases: d.options.aliases, Queue: d.options.queue, Backend: d.options.backend,
			Priority: d.options.priority, MaxAttempts: d.options.maxAttempts, Timeout: d.options.timeout,
			Runnable: d.run != nil, StrictArgs: d.options.strictArgs, Unique: d.options.unique != nil, OnFailed: d.options.onFailed,
			Encrypted: d.mustEncrypt(), Description: d.options.description, Args: d.in,
			LimitKey: d.options.limitKey != nil, Backoff: d.options.backoff != nil,
		})
	}
	slices.SortFunc(infos, func(a, b TaskInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos
}

// Backoff returns how long after a failed attempt (1 for the first) a task runs again, and
// whether it has a [Backoff] of its own that says so.
func (r *Registry) Backoff(task string, attempt int) (wait time.Duration, own bool) {
	d, ok := r.byName[task]
	if !ok || d.options.backoff == nil {
		return 0, false
	}
	defer func() {
		if recover() != nil { // then the default applies
			wait, own = 0, false
		}
	}()
	return max(d.options.backoff(attempt), 0), true
}

// limits are the limits that tasks have in the code, by kind and name.
func (r *Registry) limits() (limits []Limit) {
	for name, d := range r.byName {
		if name != d.name {
			continue // an alias
		}
		for _, limit := range d.options.limits {
			limit.Name = name
			limits = append(limits, limit)
		}
	}
	slices.SortFunc(limits, func(a, b Limit) int { return strings.Compare(string(a.Kind)+a.Name, string(b.Kind)+b.Name) })
	return limits
}

// ByAnyName returns a function that is true for a task if is is true for any of its names:
// the one that it has, the one that it is registered with, and the aliases of that ([Alias]).
// Rows keep the name that they were stored with, so what is said of a task is to hold for
// all of them. It returns nil for nil.
func (r *Registry) ByAnyName(is func(task string) bool) func(task string) bool {
	if is == nil {
		return nil
	}
	return func(task string) bool {
		if is(task) {
			return true
		}
		d, ok := r.lookup(task)
		return ok && (is(d.name) || slices.ContainsFunc(d.options.aliases, is))
	}
}

func (r *Registry) lookup(name string) (definition, bool) {
	d, ok := r.byName[name]
	return d, ok
}

// probe is the name that server registers for its own deliveries. Programs do not
// enqueue it, so that no error suggests it.
const probe = "claimcheck.probe"

// names are the names and aliases of the tasks that the program has declared or runs,
// sorted.
func (r *Registry) names() (names []string) {
	for name := range r.byName {
		if name != probe {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// near returns the names of tasks that a name that is not registered probably means.
func (r *Registry) near(name string) (near []string) {
	for known := range r.byName {
		if known == probe || len(name) > 2*len(known) {
			continue
		}
		if levenshtein.ComputeDistance(name, known) <= 1+len(known)/4 || strings.Contains(known, name) && name != "" {
			near = append(near, known)
		}
	}
	slices.Sort(near)
	return near
}

// unknownTask returns the error of a name that is not registered, with the names that
// were probably meant, or else those that are registered.
func (r *Registry) unknownTask(name string) error {
	near := r.near(name)
	if len(near) > 0 {
		return invalidf("task %.200q is not registered; did you mean %s?", name, strings.Join(near, ", "))
	}
	all := r.names()
	if len(all) == 0 {
		return invalidf("task %.200q is not registered; no task is: pass the tasks to NewRegistry", name)
	}
	const limit = 10
	if rest := len(all) - limit; rest > 0 {
		all = append(all[:limit], fmt.Sprintf("and %d more", rest))
	}
	return invalidf("task %.200q is not registered; registered: %s", name, strings.Join(all, ", "))
}
