package queue

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// This file refuses what compiles and cannot work, at once and with the remedy.

// isNil reports whether v is nil, or an interface around a nil pointer: what a
// constructor returns together with an error that was not checked.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch value := reflect.ValueOf(v); value.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Chan, reflect.Slice:
		return value.IsNil()
	default:
		return false
	}
}

// required returns the error of a required field that is not set.
func (cfg *Config) required() error {
	switch {
	case cfg.Store == nil:
		return errors.New("queue: Config.Store is required: open one, for example with pgstore.Open")
	case isNil(cfg.Store):
		return fmt.Errorf("queue: Config.Store is a nil %T: check the error of what opens it", cfg.Store)
	case cfg.Registry == nil:
		return errors.New("queue: Config.Registry is required: make one with NewRegistry")
	}
	return nil
}

// checkDispatchers refuses dispatchers that are nil pointers, and a Local that
// is not ready or serves two backends.
func checkDispatchers(backends map[string]Backend) error {
	locals := make(map[*Local]string)
	for _, name := range slices.Sorted(maps.Keys(backends)) {
		d := backends[name].Dispatcher
		if d != nil && isNil(d) {
			return fmt.Errorf("queue: the dispatcher of backend %q is a nil %T: check the error of what makes it, or leave the dispatcher nil for workers that pull", name, d)
		}
		local, ok := d.(*Local)
		if !ok {
			continue
		}
		if local.wake == nil {
			return fmt.Errorf("queue: the Local of backend %q was not made with NewLocal: make it with NewLocal", name)
		}
		if other, taken := locals[local]; taken {
			return fmt.Errorf("queue: backends %q and %q have the same Local, which serves one: make another with NewLocal", other, name)
		}
		locals[local] = name
	}
	return nil
}

var errNilClient = errors.New("queue: the Client is nil: check the error of NewClient or StartLocal")

// check returns the error of a Client that cannot be used, or not yet.
func (c *Client) check() error {
	switch {
	case c == nil:
		return errNilClient
	case !c.ready.Load():
		return ErrNotReady
	default:
		return nil
	}
}

func checkTx(tx Tx) error {
	if isNil(tx) {
		return invalidf("the transaction is nil: pass what pgstore.Tx, sqlitestore.Tx or mysqlstore.Tx returns, and check the error of beginning the transaction")
	}
	return nil
}

// checkPull refuses a backend that the client does not have: a misspelt one would
// never have anything to claim.
func (e *Executor) checkPull(from From) error {
	if from.Backend == "" || e.client.HasBackend(from.Backend) {
		return nil
	}
	return invalidf("backend_name %q is not known; known: %s (Config.Backends)", from.Backend, e.client.backendNames())
}

// errNothingRunnable is the error of a worker that could never claim anything.
var errNothingRunnable = errors.New("queue: none of the registered tasks has a function, so nothing would ever run: pass what the Handle of each task returns to NewRegistry, instead of the bare declaration")

func (e *Executor) checkWork(cfg WorkConfig) error {
	if cfg.MaxTasks < 0 || cfg.Interval < 0 {
		return invalidf("WorkConfig.MaxTasks and Interval must not be negative")
	}
	if len(e.client.registry.runnable) == 0 {
		return errNothingRunnable
	}
	return e.checkPull(cfg.From)
}

// declaredOnly returns the tasks of a backend that have no function here.
func (r *Registry) declaredOnly(backend string) (names []string) {
	for _, task := range r.Tasks() {
		if task.Backend == backend && !task.Runnable {
			names = append(names, task.Name)
		}
	}
	return names
}
