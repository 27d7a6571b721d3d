package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// longestChunk is how many lines of a bulk enqueue are one transaction at most.
const longestChunk = 1000

// chunkSize returns how many lines are one transaction: no more than any queue may have
// READY tasks, or they would never fit.
func (p *program) chunkSize() (int, error) {
	bounds, err := p.config.MaxBacklog()
	size := longestChunk
	for _, bound := range bounds {
		size = min(size, bound)
	}
	return size, err
}

// bulk is an enqueue of many tasks, one for each line of standard input.
type bulk struct {
	*program
	cmd    *enqueueCmd
	client *queue.Client
	shown  progress
	size   int // of a chunk

	chunk  []queue.Request
	lines  []int // where each request of the chunk is
	stored int   // tasks of the chunks before
}

// bulk enqueues the tasks of standard input, in chunks. At a bad line the chunks
// before it stay stored, and nothing of its own chunk is stored. On a terminal it
// prints how many tasks are stored, in a pipe or with --ids their IDs.
func (c *enqueueCmd) bulk(ctx context.Context, p *program, client *queue.Client) error {
	size, err := p.chunkSize()
	if err != nil {
		return err
	}
	b := &bulk{program: p, cmd: c, client: client, shown: p.progress("tasks stored"), size: size}
	err = b.readAll(ctx)
	b.shown.end()
	if err == nil && !b.printsIDs() {
		_, err = fmt.Fprintf(p.stdout, "%s stored\n", tasks(b.stored))
	}
	return err
}

func (b *bulk) printsIDs() bool { return b.cmd.JSON || b.cmd.IDs || !isTerminal(b.stdout) }

func (b *bulk) readAll(ctx context.Context) error {
	lines := bufio.NewReader(b.input(ctx))
	limit := int(b.config.Settings.TasksMaxBody)
	for number := 1; ; number++ {
		line, err := readLine(lines, limit)
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return b.flush(ctx)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("line %d: %w; %d tasks of the lines before are stored", b.first(number), ctx.Err(), b.stored)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return badLine(number, err, b.stored)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		request, _, err := api.ParseEnqueue(line)
		if err != nil {
			return badLine(number, err, b.stored)
		}
		b.chunk, b.lines = append(b.chunk, request), append(b.lines, number)
		if len(b.chunk) < b.size {
			continue
		}
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
}

// first is the first line that is not stored.
func (b *bulk) first(number int) int {
	if len(b.lines) > 0 {
		return b.lines[0]
	}
	return number
}

// flush stores the chunk.
func (b *bulk) flush(ctx context.Context) error {
	if len(b.chunk) == 0 {
		return nil
	}
	handles, err := b.client.EnqueueMany(ctx, b.chunk...)
	if err != nil {
		return b.storeError(err)
	}
	b.stored += len(handles)
	b.shown.add(len(handles))
	for i, handle := range handles {
		b.warnArgs(fmt.Sprintf("line %d: ", b.lines[i]), handle)
		if !b.printsIDs() {
			continue
		}
		if err := b.cmd.printHandle(b.program, handle); err != nil {
			return err
		}
	}
	b.chunk, b.lines = nil, b.lines[:0]
	return nil
}

// storeError names the line that made a chunk fail, if one did.
func (b *bulk) storeError(err error) error {
	var refused *queue.RequestError
	if errors.As(err, &refused) {
		return badLine(b.lines[refused.Index], b.ofLines(refused.Err), b.stored)
	}
	return fmt.Errorf("lines from %d: %w; %d tasks of the lines before are stored", b.lines[0], err, b.stored)
}

// ofLines names the line instead of the request of the chunk that has the same key or ID.
func (b *bulk) ofLines(err error) error {
	var duplicate *queue.DuplicateError
	var conflict *queue.IDConflictError
	switch {
	case errors.As(err, &duplicate) && duplicate.Earlier > 0:
		return fmt.Errorf("unique_key %q is that of line %d too", duplicate.Row.UniqueKey, b.lines[duplicate.Earlier-1])
	case errors.As(err, &conflict) && conflict.Earlier > 0:
		return fmt.Errorf("id %s is that of line %d too, with another task or other arguments", conflict.ID, b.lines[conflict.Earlier-1])
	}
	return err
}

func (c *enqueueCmd) printHandle(p *program, handle *queue.Handle) error {
	if c.JSON {
		return p.printJSON(api.EnqueueAnswer(handle).Body)
	}
	_, err := fmt.Fprintln(p.stdout, handle.ID)
	return err
}

// warnArgs warns about fields of the arguments that the task ignores.
func (p *program) warnArgs(where string, handle *queue.Handle) {
	for _, warning := range handle.Warnings {
		p.say("warning: %s%s; %s ignores it (TASKS_STRICT_ARGS=true refuses such arguments)", where, warning, handle.Row.Task)
	}
}

// readLine reads one line of at most limit bytes, without its end.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit+2 {
			return nil, fmt.Errorf("it is longer than %d bytes (TASKS_MAX_BODY)", limit)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}

// badLine is a usage error that names the line and what is stored.
func badLine(number int, err error, stored int) error {
	return usagef("line %d: %w; %d tasks of the lines before its chunk are stored, nothing after", number, err, stored)
}

// refused makes a usage error of what the queue refuses.
func refused(err error) error {
	if errors.Is(err, queue.ErrInvalid) || errors.Is(err, queue.ErrIDConflict) {
		return usageError{err}
	}
	return err
}
