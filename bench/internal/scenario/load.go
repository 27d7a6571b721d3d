package scenario

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
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

// sent is what it says afterwards.
type sent struct {
	Took  time.Duration
	Times []time.Duration
}

// Load is the sender: it reads a load from standard input, and writes what
// became of it to standard output.
func Load() error {
	var l load
	if err := json.NewDecoder(os.Stdin).Decode(&l); err != nil {
		return err
	}
	result, err := l.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// run sends one request for each ID, each connection one after the other. It
// writes plain HTTP/1.1 itself, so that the two cores are the handler's.
func (l load) run() (sent, error) {
	var header bytes.Buffer
	if err := l.Header.Write(&header); err != nil {
		return sent{}, err
	}
	conns := make([]net.Conn, l.Connections)
	for i := range conns {
		conn, err := net.Dial("tcp", l.Address)
		if err != nil {
			return sent{}, err
		}
		defer conn.Close()
		conns[i] = conn
	}
	times := make([]time.Duration, len(l.IDs))
	var next atomic.Int64
	group, _ := errgroup.WithContext(context.Background())
	began := time.Now()
	for _, conn := range conns {
		group.Go(func() error {
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
