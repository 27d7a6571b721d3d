package scenario

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is what the sender of requests receives.
type load struct {
	Address     string
	Header      http.Header
	IDs         []string
	Connections int
}

// sent is the sender's result.
type sent struct {
	Took  time.Duration
	Times []time.Duration
}

// step is a message between the sender and the process that measures: the sender
// reports that it is ready, is started, and reports that the last answer has come.
// Only then does it send its result, whose decoding is no part of the measurement.
type step string

const (
	ready step = "ready"
	start step = "start"
	done  step = "done"
)

// Load is the sender on standard input and output.
func Load() error { return serve(json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)) }

// serve reads a load, connects, sends the requests when it is started, and writes
// the result.
func serve(in *json.Decoder, out *json.Encoder) error {
	var l load
	if err := in.Decode(&l); err != nil {
		return err
	}
	conns, err := l.connect()
	if err != nil {
		return err
	}
	if err := out.Encode(ready); err != nil {
		return err
	}
	if err := await(in, start); err != nil {
		return err
	}
	result, err := l.run(conns)
	if err != nil {
		return err
	}
	return errors.Join(out.Encode(done), out.Encode(result))
}

// await reads the next message, which must be this one.
func await(in *json.Decoder, want step) error {
	var got step
	if err := in.Decode(&got); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the message is %q, not %q", got, want)
	}
	return nil
}

func (l load) connect() ([]net.Conn, error) {
	conns := make([]net.Conn, l.Connections)
	for i := range conns {
		var err error
		if conns[i], err = net.Dial("tcp", l.Address); err != nil {
			return nil, err
		}
	}
	return conns, nil
}

// run sends one request for each ID, each connection one after the other, and
// closes the connections. It writes plain HTTP/1.1 itself, so that the two cores
// are the handler's.
func (l load) run(conns []net.Conn) (sent, error) {
	var header bytes.Buffer
	if err := l.Header.Write(&header); err != nil {
		return sent{}, err
	}
	times := make([]time.Duration, len(l.IDs))
	var next atomic.Int64
	group, _ := errgroup.WithContext(context.Background())
	began := time.Now()
	for _, conn := range conns {
		group.Go(func() error {
			defer conn.Close()
			in := bufio.NewReader(conn)
			for i := next.Add(1) - 1; i < int64(len(l.IDs)); i = next.Add(1) - 1 {
				sentAt := time.Now()
				if err := deliver(conn, in, header.Bytes(), l.Address, l.IDs[i]); err != nil {
					return err
				}
				times[i] = time.Since(sentAt)
			}
			return nil
		})
	}
	err := group.Wait()
	return sent{time.Since(began), times}, err
}

// deliver sends one request and reads its answer, which must be 200.
func deliver(conn net.Conn, in *bufio.Reader, header []byte, host, id string) error {
	request := fmt.Appendf(nil, "POST /tasks/execute/%s/ HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n%s\r\n", id, host, header)
	if _, err := conn.Write(request); err != nil {
		return err
	}
	status, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	answer := string(status)
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if _, err := fmt.Sscan(string(value), &length); err != nil {
				return err
			}
		}
	}
	if !ok {
		body := make([]byte, length)
		_, _ = io.ReadFull(in, body)
		return fmt.Errorf("task %s: %s%s", id, answer, body)
	}
	_, err = in.Discard(length)
	return err
}
