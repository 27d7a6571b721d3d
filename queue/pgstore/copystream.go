package pgstore

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

// copyStatement names the columns in the order in which appendRow writes them, in the
// types of the table.
const copyStatement = `COPY claimcheck_tasks (
	id, task_path, queue_name, backend_name, priority, status, hold, args,
	run_after, enqueued_at, max_attempts, timeout_ms, dispatch_due_at, trace_context
) FROM STDIN (FORMAT binary)`

// The binary format of COPY: a header without flags, rows, and an end.
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyFields  = 14
	copyTrailer = "\xff\xff"
)

// copyStream reads rows in the binary format of COPY, and encodes each when it is
// read. The driver's own encoding, which looks up the type of every value, took
// several times as long, and a dozen allocations for each row.
type copyStream struct {
	mu   sync.Mutex // the driver reads in a goroutine of its own
	now  time.Time
	rows []*queue.NewRow // not yet encoded
	buf  []byte          // one row
	rest []byte          // of buf, not yet read
	end  error           // set when all rows are encoded, or the stream is stopped
}

func newCopyStream(now time.Time, rows []*queue.NewRow) *copyStream {
	return &copyStream{now: now, rows: rows, rest: []byte(copyHeader)}
}

// Read fills p except at the end, because each call becomes one message.
func (s *copyStream) Read(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		if len(s.rest) == 0 && s.end != nil {
			return n, s.end
		}
		if len(s.rest) == 0 {
			s.encode()
		}
		m := copy(p[n:], s.rest)
		n, s.rest = n+m, s.rest[m:]
	}
	return n, nil
}

// encode encodes the next row, or the trailer.
func (s *copyStream) encode() {
	if len(s.rows) == 0 {
		s.rest, s.end = []byte(copyTrailer), io.EOF
		return
	}
	s.buf = appendRow(s.buf[:0], s.now, s.rows[0])
	s.rest, s.rows = s.buf, s.rows[1:]
}

// stop ends the stream: a driver that has returned an error may still read.
func (s *copyStream) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest, s.rows, s.end = nil, nil, errors.New("COPY has ended")
}

// appendRow appends the row of a request that is stored at the time now.
func appendRow(b []byte, now time.Time, row *queue.NewRow) []byte {
	t := timesAt(now, row)
	hold := uint16(0)
	if t.runAfter.After(now) {
		hold = 1
	}
	b = binary.BigEndian.AppendUint16(b, copyFields)
	b = appendField(b, row.ID[:])
	b = appendField(b, row.Task)
	b = appendField(b, row.Queue)
	b = appendField(b, row.Backend)
	b = binary.BigEndian.AppendUint16(appendSize(b, 2), uint16(row.Priority)) //nolint:gosec // copyable has checked it
	b = appendField(b, queue.StatusReady)
	b = binary.BigEndian.AppendUint16(appendSize(b, 2), hold)
	b = appendField(b, row.Args)
	b = appendTime(b, t.runAfter)
	b = appendTime(b, now)
	b = binary.BigEndian.AppendUint32(appendSize(b, 4), uint32(row.MaxAttempts)) //nolint:gosec // copyable has checked it
	if millis := timeoutMillis(row.Row); millis > 0 {
		b = appendInt64(b, millis)
	} else {
		b = appendSize(b, null)
	}
	b = appendTime(b, t.dispatchDueAt)
	if row.TraceContext == "" {
		return appendSize(b, null)
	}
	return appendField(b, row.TraceContext)
}

const null = -1 // the size of a NULL

// appendSize appends the size of the field that follows.
func appendSize(b []byte, size int) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(size)) //nolint:gosec // -1, or less than the arguments may have
}

func appendField[T ~string | ~[]byte](b []byte, v T) []byte {
	return append(appendSize(b, len(v)), v...)
}

func appendInt64(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(appendSize(b, 8), uint64(v)) //nolint:gosec // two's complement is the format
}

// appendTime appends a timestamptz: microseconds since 2000. NULL is the zero time.
func appendTime(b []byte, t time.Time) []byte {
	const epoch = 946_684_800_000_000 // in microseconds of Unix time
	if t.IsZero() {
		return appendSize(b, null)
	}
	return appendInt64(b, t.UnixMicro()-epoch)
}
