package system

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

// asynqOn is Asynq on Redis, with or without an fsync for every write.
func asynqOn(name string, server Server) System {
	return System{Name: name, Server: server, Slow: server == RedisFsync, Open: func(_ context.Context, t Target) (Session, error) {
		options := asynq.RedisClientOpt{Addr: t.URL, PoolSize: max(poolSize, 2*t.Slots)}
		return &asynqSession{options: options, client: asynq.NewClient(options), slots: t.Slots}, nil
	}}
}

type asynqSession struct {
	options asynq.RedisClientOpt
	client  *asynq.Client
	server  *asynq.Server // while it drains
	slots   int
}

// Close ends the session.
func (a *asynqSession) Close(context.Context) error {
	if a.server != nil {
		a.server.Shutdown()
	}
	return a.client.Close()
}

// Enqueue stores one task. Unlike the others Asynq deletes a task that has
// ended, unless it is configured how long to keep it.
func (a *asynqSession) Enqueue(ctx context.Context) error {
	_, err := a.client.EnqueueContext(ctx, asynq.NewTask(taskName, sampleJSON), asynq.Retention(24*time.Hour))
	return err
}

// newServer is a worker that is not started.
func (a *asynqSession) newServer() *asynq.Server {
	return asynq.NewServer(a.options, asynq.Config{Concurrency: a.slots, LogLevel: asynq.WarnLevel, TaskCheckInterval: 100 * time.Millisecond})
}

// Drain runs n tasks. It looks into Redis for whether their ends are stored once
// the last has begun.
func (a *asynqSession) Drain(ctx context.Context, n int, _ func(time.Duration)) error {
	var begun atomic.Int64
	last := make(chan struct{})
	a.server = a.newServer()
	err := a.server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		if begun.Add(1) == int64(n) {
			close(last)
		}
		return nil
	}))
	if err != nil {
		return err
	}
	select {
	case <-last:
	case <-ctx.Done():
		return ctx.Err()
	}
	inspector := asynq.NewInspector(a.options)
	defer func() { _ = inspector.Close() }()
	for ctx.Err() == nil {
		info, err := inspector.GetQueueInfo("default")
		if err != nil {
			return fmt.Errorf("look at the queue: %w", err)
		}
		if info.Completed >= n {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err()
}

// Start makes a worker that waits; it polls in either mode.
func (a *asynqSession) Start(_ context.Context, _ StartMode, started func()) (Running, error) {
	server := a.newServer()
	return asynqRunning{a, server}, server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		started()
		return nil
	}))
}

type asynqRunning struct {
	*asynqSession
	worker *asynq.Server
}

// Stop ends the worker.
func (a asynqRunning) Stop(context.Context) error {
	a.worker.Shutdown()
	return nil
}
