package run

import (
	"context"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/bench/internal/scenario"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// site is where one system is measured in one scenario.
type site struct {
	job
	storage storage
	inPlace bool
}

// copied is the database that a measurement works on, the copy of the one that
// was prepared.
const copied = "bench_run"

func (s *servers) site(sc scenario.Scenario, name string, size scenario.Size) (*site, error) {
	sys, err := system.Named(name, sc.Server)
	if err != nil {
		return nil, err
	}
	size.Slow = sys.Slow || slices.Contains(sc.Tenth, name)
	at := &site{
		job:     job{Scenario: sc.Name, System: name, Size: size, Program: s.program, Node: s.node},
		storage: s.storage[sys.Server], inPlace: sc.InPlace,
	}
	at.ServerPID, err = at.storage.PID()
	return at, err
}

// master is the database that is prepared.
func (s *site) master() string { return "bench_master_" + strings.ReplaceAll(s.System, "-", "_") }

// prepare fills the master, if it is of use.
func (s *site) prepare(ctx context.Context) error {
	if !s.inPlace && !s.storage.copies() {
		return nil
	}
	return s.fill(ctx, s.master())
}

// fill makes a database as the scenario wants it.
func (s *site) fill(ctx context.Context, name string) (err error) {
	if s.URL, err = s.storage.empty(ctx, name); err != nil {
		return err
	}
	filling := s.job
	filling.Prepare = true
	if _, err := filling.spawn(ctx); err != nil {
		return err
	}
	return s.storage.settle(ctx, name)
}

// remove drops what was prepared.
func (s *site) remove(ctx context.Context) {
	s.storage.drop(ctx, s.master())
	s.storage.drop(ctx, copied)
}

// measure measures once, on a database as it was prepared.
func (s *site) measure(ctx context.Context, profile string) (probe.Metrics, error) {
	var err error
	switch {
	case s.inPlace:
		err = s.storage.settle(ctx, s.master())
	case !s.storage.copies():
		err = s.fill(ctx, copied)
	default:
		s.URL, err = s.storage.replicate(ctx, s.master(), copied)
	}
	if err != nil {
		return nil, err
	}
	measuring := s.job
	measuring.Profile = profile
	return measuring.spawn(ctx)
}
