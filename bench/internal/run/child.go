// Package run carries out a plan: which scenarios, on which systems, how often,
// each measurement in a process of its own.
package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/bench/internal/scenario"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// ChildCommand is the first argument that makes this program a child, which
// measures once.
const ChildCommand = "child"

// job is the input of a child.
type job struct {
	Scenario, System string
	Prepare          bool // fill the database, and measure nothing
	URL              string
	ServerPID        int
	Size             scenario.Size
	Program          string // the product's, if it is built
	Node             string // for graphile-worker
	Profile          string // where a CPU profile goes; empty: none
}

// longest is how long one child may take.
const longest = 20 * time.Minute

// spawn runs a job in a child and returns what it measured.
func (j job) spawn(ctx context.Context) (f probe.Metrics, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, ChildCommand)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", j.Scenario, j.System, err)
	}
	return f, json.Unmarshal(output, &f)
}

// Child is what a child does.
func Child() error {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	f, err := j.do(ctx)
	if err != nil {
		return fmt.Errorf("%s on %s: %w", j.Scenario, j.System, err)
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

func (j job) do(ctx context.Context) (f probe.Metrics, err error) {
	sc, err := scenario.Named(j.Scenario)
	if err != nil {
		return nil, err
	}
	sys, err := system.Named(j.System, sc.Server)
	if err != nil {
		return nil, err
	}
	target := system.Target{URL: j.URL, Slots: sc.Slots, Sleep: sc.Sleep, Binary: j.Program, Node: j.Node}
	if j.Prepare && sys.Setup != nil {
		if err := sys.Setup(ctx, target); err != nil {
			return nil, err
		}
	}
	session, err := sys.Open(ctx, target)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, session.Close(ctx)) }()
	if j.Prepare {
		if sc.Prepare == nil {
			return nil, nil
		}
		return nil, sc.Prepare(ctx, session, j.Size)
	}
	url := j.URL
	if sys.Server != system.Postgres {
		url = ""
	}
	meter, err := probe.NewMeter(ctx, j.ServerPID, url)
	if err != nil {
		return nil, err
	}
	defer meter.Close(ctx)
	meter.Profile = j.Profile
	if x, ok := session.(system.External); ok {
		meter.Client = x.PID()
	}
	return sc.Measure(ctx, session, meter, j.Size)
}
