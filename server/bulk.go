package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// chunkSize is how many lines of a bulk enqueue are one transaction.
const chunkSize = 1000

// bulk enqueues one task for each line of standard input, in chunks. At a bad
// line the chunks before it stay stored, and nothing of its own chunk is.
func (c *enqueueCmd) bulk(ctx context.Context, p *program, client *queue.Client) error {
	lines := bufio.NewReader(p.input(ctx))
	limit := int(p.config.Settings.TasksMaxBody)
	var chunk []queue.Request
	first, stored := 1, 0 // number of the chunk's first line
	numbers := make([]int, 0, chunkSize)
	shown := p.progress("tasks stored")
	defer shown.end()
	flush := func() error {
		if len(chunk) == 0 {
			return nil
		}
		handles, err := client.EnqueueMany(ctx, chunk...)
		if err != nil {
			return bulkError(err, numbers, first, stored)
		}
		stored += len(handles)
		shown.add(len(handles))
		for i, handle := range handles {
			p.warnArgs(fmt.Sprintf("line %d: ", numbers[i]), handle)
			if err := c.printHandle(p, handle); err != nil {
				return err
			}
		}
		chunk, numbers = nil, numbers[:0]
		return nil
	}
	for number := 1; ; number++ {
		line, err := readLine(lines, limit)
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return flush()
		}
		if ctx.Err() != nil {
			return fmt.Errorf("line %d: %w; %d tasks of the lines before are stored", first, ctx.Err(), stored)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return badLine(number, err, stored)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		request, err := httpapi.ParseEnqueue(line)
		if err != nil {
			return badLine(number, err, stored)
		}
		if len(chunk) == 0 {
			first = number
		}
		chunk, numbers = append(chunk, request), append(numbers, number)
		if len(chunk) == chunkSize {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

func (c *enqueueCmd) printHandle(p *program, handle *queue.Handle) error {
	if c.JSON {
		return p.printJSON(httpapi.EnqueueBody{Result: handle.Row, Warnings: handle.Warnings})
	}
	_, err := fmt.Fprintln(p.stdout, handle.ID)
	return err
}

// warnArgs reports the fields of the arguments that the task ignores.
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

// badLine is a usage error that names the line and says what was done.
func badLine(number int, err error, stored int) error {
	return usagef("line %d: %w; %d tasks of the lines before its chunk are stored, nothing after", number, err, stored)
}

// bulkError says which line made a chunk fail, if one did.
func bulkError(err error, numbers []int, first, stored int) error {
	var refused *queue.RequestError
	if errors.As(err, &refused) {
		return badLine(numbers[refused.Index], refused.Err, stored)
	}
	return fmt.Errorf("lines from %d: %w; %d tasks of the lines before are stored", first, err, stored)
}

// refused makes a refusal a usage error.
func refused(err error) error {
	if errors.Is(err, queue.ErrInvalid) || errors.Is(err, queue.ErrIDConflict) {
		return usageError{err}
	}
	return err
}
