// Package tasks contains the tasks of the chaos run. Each result and each failure names
// its attempt and its process, which shows when the end of an attempt was written by
// another one.
package tasks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/chaos/ledger"
	"github.com/claimcheck-go/claimcheck/queue"
)

// Args are the arguments of every task.
type Args struct {
	Millis   int `json:"millis"`   // how long it takes
	Failures int `json:"failures"` // attempts of Flaky and Stubborn that fail first
}

// Result is what every task returns.
type Result struct {
	Attempt int    `json:"attempt"`
	Worker  string `json:"worker"`
}

// The tasks.
var (
	// Ledger writes one row of the business in the transaction that finishes it.
	Ledger = queue.Declare[Args, Result]("chaos.ledger")
	Plain  = queue.Declare[Args, Result]("chaos.plain")
	// Long is Plain for longer than a process may drain: it is released.
	Long  = queue.Declare[Args, Result]("chaos.long")
	Flaky = queue.Declare[Args, Result]("chaos.flaky")
	// Stubborn ignores its context: after its process was stopped for longer than a
	// lease, it ends although its claim is lost.
	Stubborn = queue.Declare[Args, Result]("chaos.stubborn")
	// Rescheduling asks for another time now and then.
	Rescheduling = queue.Declare[Args, Result]("chaos.rescheduling", queue.MaxAttempts(30))
	Poison       = queue.Declare[Args, Result]("chaos.poison", queue.MaxAttempts(3), queue.OnFailed(Letter))
	// Once has a single attempt: if its worker dies, it is FAILED.
	Once = queue.Declare[Args, Result]("chaos.once", queue.MaxAttempts(1), queue.OnFailed(Letter))
	// Letter is what the final failure of these two enqueues.
	Letter = queue.Declare[queue.Failed, Result]("chaos.letter")
	// Keyed is Plain with an idempotency key, and Scheduled for the tasks of schedules.
	Keyed     = queue.Declare[Args, Result]("chaos.keyed")
	Scheduled = queue.Declare[Args, Result]("chaos.scheduled")
	// Bomb kills the process that runs it.
	Bomb = queue.Declare[Args, Result]("chaos.bomb", queue.MaxAttempts(2))
)

// Declared is the registry of programs that only enqueue.
func Declared() *queue.Registry {
	return queue.NewRegistry(Ledger, Plain, Long, Flaky, Stubborn, Rescheduling, Poison, Once, Letter, Keyed, Scheduled, Bomb)
}

// Runner runs the tasks in one process.
type Runner struct {
	Worker string // its name, also in the executor
	Ledger *ledger.Ledger
}

// Registry is the registry of a process that runs the tasks.
func (r *Runner) Registry() *queue.Registry {
	return queue.NewRegistry(
		Ledger.Handle(r.ledger), Plain.Handle(r.plain), Long.Handle(r.plain), Flaky.Handle(r.flaky),
		Stubborn.Handle(r.stubborn), Rescheduling.Handle(r.rescheduling), Poison.Handle(r.poison), Once.Handle(r.once),
		Letter.Handle(r.letter), Keyed.Handle(r.plain), Scheduled.Handle(r.plain), Bomb.Handle(r.bomb),
	)
}

// result returns the result of the attempt that runs under ctx.
func (r *Runner) result(ctx context.Context) Result {
	info, _ := queue.InfoFrom(ctx)
	return Result{Attempt: info.Attempt, Worker: r.Worker}
}

// failure returns an error of this attempt.
func (r *Runner) failure(ctx context.Context) error {
	return fmt.Errorf("attempt %d failed in %s", r.result(ctx).Attempt, r.Worker)
}

// work takes the task's time, and stops when ctx ends.
func work(ctx context.Context, in Args) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Duration(in.Millis) * time.Millisecond):
		return nil
	}
}

func (r *Runner) ledger(ctx context.Context, in Args) (Result, error) {
	info, _ := queue.InfoFrom(ctx)
	if r.Ledger.OneWriter {
		if err := work(ctx, in); err != nil {
			return Result{}, err
		}
		in.Millis = 0
	}
	tx, err := r.Ledger.Begin(ctx)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := work(ctx, in); err != nil {
		return Result{}, err
	}
	if err := tx.Post(ctx, info.ID, info.Attempt, r.Worker); err != nil {
		return Result{}, err
	}
	out := r.result(ctx)
	if err := queue.CompleteTx(ctx, tx.Tx, out); err != nil {
		return Result{}, err
	}
	return out, tx.Commit(ctx)
}

func (r *Runner) plain(ctx context.Context, in Args) (Result, error) {
	return r.result(ctx), work(ctx, in)
}

func (r *Runner) letter(ctx context.Context, _ queue.Failed) (Result, error) {
	return r.result(ctx), nil
}

func (r *Runner) flaky(ctx context.Context, in Args) (Result, error) {
	if r.result(ctx).Attempt <= in.Failures {
		return Result{}, r.failure(ctx)
	}
	return r.result(ctx), work(ctx, in)
}

func (r *Runner) stubborn(ctx context.Context, in Args) (Result, error) {
	<-time.After(time.Duration(in.Millis) * time.Millisecond)
	if r.result(ctx).Attempt <= in.Failures {
		return Result{}, r.failure(ctx)
	}
	return r.result(ctx), nil
}

// once is stubborn, and never fails by itself.
func (r *Runner) once(ctx context.Context, in Args) (Result, error) {
	return r.stubborn(ctx, Args{Millis: in.Millis})
}

func (r *Runner) rescheduling(ctx context.Context, in Args) (Result, error) {
	wait := time.Duration(in.Millis) * time.Millisecond
	switch rand.IntN(3) {
	case 0:
		return Result{}, queue.RetryAt(time.Now().Add(wait), r.failure(ctx))
	case 1:
		return Result{}, queue.Snooze(wait)
	}
	return r.result(ctx), nil
}

func (r *Runner) poison(ctx context.Context, in Args) (Result, error) {
	if err := work(ctx, in); err != nil {
		return Result{}, err
	}
	return Result{}, r.failure(ctx)
}

// bomb does not return.
func (r *Runner) bomb(ctx context.Context, _ Args) (Result, error) {
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		return Result{}, err
	}
	<-ctx.Done()
	return Result{}, context.Cause(ctx)
}
