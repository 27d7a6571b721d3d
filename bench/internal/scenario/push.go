package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// LoadCommand is the first argument that makes this program the sender of
// requests: a process of its own, so that its CPU is not the handler's.
const LoadCommand = "load"

// warmShare is the part of the requests that is sent before the measurement: one
// in so many.
const warmShare = 10

// push delivers all tasks over so many connections.
func push(connections int) func(context.Context, system.Session, *probe.Meter, Size) (probe.Metrics, error) {
	return func(ctx context.Context, s system.Session, m *probe.Meter, _ Size) (probe.Metrics, error) {
		p, err := as[system.Pusher](s)
		if err != nil {
			return nil, err
		}
		handler, header, ids, err := p.Deliveries(ctx)
		if err != nil {
			return nil, err
		}
		server := httptest.NewServer(handler)
		defer server.Close()
		l := load{Address: server.Listener.Addr().String(), Header: header, Connections: connections}
		warm := len(ids) / (warmShare + 1)
		l.IDs = ids[:warm]
		if _, err := l.send(ctx); err != nil {
			return nil, err
		}
		l.IDs = ids[warm:]
		if err := m.Start(ctx); err != nil {
			return nil, err
		}
		sent, err := l.send(ctx)
		if err != nil {
			return nil, err
		}
		f, err := m.Stop(ctx, len(l.IDs))
		if err != nil {
			return nil, err
		}
		// The sender's own start is no part of it.
		f["per_s"] = float64(len(l.IDs)) / sent.Took.Seconds()
		var times probe.Latencies
		times.Add(sent.Times...)
		times.Into(f, "")
		return f, nil
	}
}

// send has another process send the requests.
func (l load) send(ctx context.Context) (sent sent, err error) {
	self, err := os.Executable()
	if err != nil {
		return sent, err
	}
	input, err := json.Marshal(l)
	if err != nil {
		return sent, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, LoadCommand)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return sent, fmt.Errorf("send requests: %w", err)
	}
	if err := json.Unmarshal(output, &sent); err != nil {
		return sent, fmt.Errorf("send requests: %w", err)
	}
	if len(sent.Times) != len(l.IDs) {
		err = errors.New("requests were lost")
	}
	return sent, err
}
