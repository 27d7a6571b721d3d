package scenario

import (
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
		if _, _, err := l.send(ctx, nil); err != nil {
			return nil, err
		}
		l.IDs = ids[warm:]
		sent, f, err := l.send(ctx, m)
		if err != nil {
			return nil, err
		}
		f["per_s"] = float64(len(l.IDs)) / sent.Took.Seconds()
		var times probe.Latencies
		times.Add(sent.Times...)
		times.Into(f, "")
		return f, nil
	}
}

// send has another process send the requests. A meter measures from its first
// request to its last answer, without its start and its result.
func (l load) send(ctx context.Context, m *probe.Meter) (sent sent, f probe.Metrics, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return sent, nil, err
	}
	cmd := exec.CommandContext(ctx, self, LoadCommand)
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return sent, nil, fmt.Errorf("send requests: %w", err)
	}
	sent, f, err = l.exchange(ctx, m, json.NewEncoder(stdin), json.NewDecoder(stdout))
	if err != nil {
		cancel()
	}
	if err = errors.Join(err, stdin.Close(), cmd.Wait()); err != nil {
		return sent, nil, fmt.Errorf("send requests: %w", err)
	}
	return sent, f, nil
}

// exchange is the conversation with the sender.
func (l load) exchange(ctx context.Context, m *probe.Meter, out *json.Encoder, in *json.Decoder) (sent sent, f probe.Metrics, err error) {
	if err := errors.Join(out.Encode(l), await(in, ready)); err != nil {
		return sent, nil, err
	}
	if m != nil {
		if err := m.Start(ctx); err != nil {
			return sent, nil, err
		}
	}
	if err := errors.Join(out.Encode(start), await(in, done)); err != nil {
		return sent, nil, err
	}
	if m != nil {
		if f, err = m.Stop(ctx, len(l.IDs)); err != nil {
			return sent, nil, err
		}
	}
	if err := in.Decode(&sent); err != nil {
		return sent, nil, err
	}
	if len(sent.Times) != len(l.IDs) {
		return sent, nil, errors.New("requests were lost")
	}
	return sent, f, nil
}
