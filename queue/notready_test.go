package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Every method of the zero Client that can return an error returns ErrNotReady,
// and the others do not panic where they have something to return.
func TestZeroClientIsNotReady(t *testing.T) {
	t.Parallel()
	client := new(queue.Client)
	value, errorType := reflect.ValueOf(client), reflect.TypeFor[error]()
	called := 0
	for i := range value.NumMethod() {
		method, name := value.Method(i), value.Type().Method(i).Name
		kind := method.Type()
		if kind.NumOut() == 0 || kind.Out(kind.NumOut()-1) != errorType || name == "Init" {
			continue
		}
		var args []reflect.Value
		for i := range kind.NumIn() {
			if kind.In(i) == reflect.TypeFor[context.Context]() {
				args = append(args, reflect.ValueOf(t.Context()))
			} else if !kind.IsVariadic() || i < kind.NumIn()-1 {
				args = append(args, reflect.Zero(kind.In(i)))
			}
		}
		out := method.Call(args)
		if err, _ := out[len(out)-1].Interface().(error); !errors.Is(err, queue.ErrNotReady) {
			t.Errorf("%s: %v", name, err)
		}
		called++
	}
	if called < 15 {
		t.Errorf("only %d methods were called", called)
	}
	if client.Registry() == nil || len(client.Registry().Tasks()) > 0 || client.HasBackend(queue.DefaultBackend) || client.StrictArgs() {
		t.Error("the zero Client has tasks, backends or settings")
	}
	client.Dispatch(t.Context(), &queue.Handle{ID: uuid.New(), Row: &queue.Row{}})
	if _, err := queue.NewExecutor(client, queue.ExecutorConfig{}); !errors.Is(err, queue.ErrNotReady) {
		t.Errorf("NewExecutor: %v", err)
	}
	if text := panicOf(func() { client.SweepEvery(t.Context(), 1) }); !strings.Contains(text, "not ready") {
		t.Errorf("SweepEvery: %q", text)
	}
}

// A Client becomes ready in place, once, while others use it.
func TestClientInit(t *testing.T) {
	t.Parallel()
	client, store := new(queue.Client), newStore(t)
	var waiting, using sync.WaitGroup
	for range 4 {
		waiting.Add(1)
		using.Go(func() {
			for first := true; ; first = false {
				_, err := client.Enqueue(t.Context(), "t", nil)
				if first {
					waiting.Done()
				}
				if errors.Is(err, queue.ErrNotReady) {
					continue
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
		})
	}
	waiting.Wait()
	if err := client.Init(queue.Config{Store: store}); err == nil || !strings.Contains(err.Error(), "Config.Registry") {
		t.Errorf("Init without a registry: %v", err)
	}
	cfg := queue.Config{Store: store, Registry: queue.NewRegistry(queue.NewTask("t", nothing)), Logger: slog.New(slog.DiscardHandler)}
	if err := client.Init(cfg); err != nil {
		t.Fatal(err)
	}
	if err := client.Init(cfg); err == nil || !strings.Contains(err.Error(), "ready already") {
		t.Errorf("a second Init: %v", err)
	}
	using.Wait()
}
