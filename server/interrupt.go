package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// drainer is a command that runs until a signal and then drains. Every other
// command ends by itself, and a signal cancels its work.
type drainer interface{ drains() }

func (*serveCmd) drains() {}
func (*workCmd) drains()  {}

// interruptible returns a context that SIGINT and SIGTERM cancel, and with it the
// current statement, in the database too. A second signal ends the process.
func interruptible(ctx context.Context, command *kong.Context) (_ context.Context, stop context.CancelFunc) {
	if node := command.Selected(); node != nil && node.Target.CanAddr() {
		if _, drains := node.Target.Addr().Interface().(drainer); drains {
			return ctx, func() {}
		}
	}
	ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// errSignal is the cause of the end of untilSignal's context.
var errSignal = errors.New("signal")

// untilSignal returns a context that the first SIGINT or SIGTERM ends, and the
// channel that receives the second. stop ends the context; after it a further signal
// ends the process.
func untilSignal(ctx context.Context) (_ context.Context, signals <-chan os.Signal, stop func()) {
	received := make(chan os.Signal, 2)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
		case <-received:
			cancel(errSignal)
		}
	}()
	return ctx, received, func() {
		cancel(nil)
		signal.Stop(received)
	}
}

// endAtSecond ends the process at the second signal, until started is called: what
// starts may ignore its context, which the first signal has ended.
func endAtSecond(ctx context.Context, signals <-chan os.Signal) (started func()) {
	watching, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-watching.Done():
			return
		case <-ctx.Done(): // untilSignal has received the first
		}
		select {
		case <-watching.Done():
		case received := <-signals:
			signal.Reset(os.Interrupt, syscall.SIGTERM)
			self, err := os.FindProcess(os.Getpid())
			if err != nil || self.Signal(received) != nil {
				os.Exit(1)
			}
		}
	}()
	return func() {
		stop()
		<-ended
	}
}

// hurryOn returns a context that ends when a second signal arrives while the process
// drains. The process then releases the claims that it can release, and ends. A third
// signal ends it at once.
func (app *App) hurryOn(draining context.Context, signals <-chan os.Signal) context.Context {
	hurried, hurry := context.WithCancel(context.Background())
	go func() {
		select {
		case <-draining.Done():
		case <-signals:
			signal.Reset(os.Interrupt, syscall.SIGTERM)
			app.hurried.Store(true)
			app.log.Warn("second signal: releasing the claims of running tasks", "within", lingerTime.String())
			hurry()
		}
	}()
	return hurried
}

// hurriedTime bounds each step after the release, once a second signal has arrived.
const hurriedTime = 300 * time.Millisecond

// endTime returns how long a step of the shutdown may take.
func (app *App) endTime(usual time.Duration) time.Duration {
	if app.hurried.Load() {
		return hurriedTime
	}
	return usual
}

// afterSignal returns the error of a command that a signal ended: its work was
// cancelled and did not fail.
func afterSignal(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("interrupted: %w", err)
}

// input returns standard input, which ends when ctx does.
func (p *program) input(ctx context.Context) io.Reader { return &input{ctx: ctx, from: p.stdin} }

// input reads in a goroutine that a signal leaves behind, because a read from a
// terminal or a pipe cannot be cancelled.
type input struct {
	ctx  context.Context //nolint:containedctx // io.Reader has no parameter for it
	from io.Reader
	read chan inputRead
	rest []byte
	err  error
}

type inputRead struct {
	data []byte
	err  error
}

// Read returns the context's error once it has ended.
func (i *input) Read(p []byte) (int, error) {
	if i.read == nil {
		i.read = make(chan inputRead)
		go i.readAll()
	}
	for len(i.rest) == 0 && i.err == nil {
		select {
		case <-i.ctx.Done():
			return 0, i.ctx.Err()
		case r := <-i.read:
			i.rest, i.err = r.data, r.err
		}
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	if n == 0 {
		return 0, i.err
	}
	return n, nil
}

func (i *input) readAll() {
	for {
		data := make([]byte, 64<<10)
		n, err := i.from.Read(data)
		select {
		case i.read <- inputRead{data[:n], err}:
		case <-i.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}
