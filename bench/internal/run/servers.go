package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/bench/internal/scenario"
	"github.com/claimcheck-go/claimcheck/bench/internal/server"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// servers are those that a run has started.
type servers struct {
	storage map[system.Server]storage
	program string   // the product's, built; empty if no scenario starts it
	node    string   // for graphile-worker; empty if it is not measured
	leftOut []string // why systems are not measured
	stops   []func()
}

// startServers starts what the plan needs, and builds the program. What is not
// installed it names, and then starts nothing.
func (p Plan) startServers(ctx context.Context, scenarios []scenario.Scenario) (s *servers, err error) {
	needed := make(map[system.Server]bool)
	program, graphile := false, false
	for _, sc := range scenarios {
		program = program || sc.Program
		for _, name := range p.systems(sc) {
			sys, err := system.Named(name, sc.Server)
			if err != nil {
				return nil, err
			}
			needed[sys.Server] = true
			graphile = graphile || name == system.GraphileWorker
		}
	}
	if err := server.Missing(needed[system.Postgres], needed[system.Redis] || needed[system.RedisFsync], needed[system.MariaDB]); err != nil {
		return nil, err
	}
	s = &servers{storage: make(map[system.Server]storage)}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if program {
		if err := s.build(ctx); err != nil {
			return nil, err
		}
	}
	if graphile {
		s.node, err = server.InstallNode(ctx, system.GraphileWorkerDir, system.GraphileWorker)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			s.leftOut = append(s.leftOut, fmt.Sprintf("%s is left out: %v", system.GraphileWorker, err))
		}
	}
	for kind := range needed {
		if err := s.start(ctx, kind, p.Dir); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// start starts one server.
func (s *servers) start(ctx context.Context, kind system.Server, dir string) error {
	switch kind {
	case system.Postgres:
		started, err := server.StartPostgres(ctx, dir)
		if err != nil {
			return err
		}
		s.storage[kind], s.stops = postgresStorage{started}, append(s.stops, started.Stop)
	case system.Redis, system.RedisFsync:
		started, err := server.StartRedis(ctx, dir, kind == system.RedisFsync)
		if err != nil {
			return err
		}
		s.storage[kind], s.stops = redisStorage{started}, append(s.stops, started.Stop)
	case system.MariaDB:
		started, err := server.StartMariaDB(ctx, dir)
		if err != nil {
			return err
		}
		s.storage[kind], s.stops = mariadbStorage{started}, append(s.stops, started.Stop)
	case system.SQLite:
		made, err := os.MkdirTemp(dir, "claimcheck-bench-")
		if err != nil {
			return err
		}
		s.storage[kind], s.stops = fileStorage{made}, append(s.stops, func() { _ = os.RemoveAll(made) })
	case system.CloudTasks:
		started, err := server.StartCloudTasks()
		if err != nil {
			return err
		}
		s.storage[kind], s.stops = fakeStorage{started}, append(s.stops, started.Stop)
	default:
		return fmt.Errorf("nothing is known of the server %q", kind)
	}
	return nil
}

func (s *servers) stop() {
	for _, stop := range s.stops {
		stop()
	}
}

// build builds the server's program as a deployment has it.
func (s *servers) build(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "claimcheck-bench-")
	if err != nil {
		return err
	}
	s.stops = append(s.stops, func() { _ = os.RemoveAll(dir) })
	s.program = filepath.Join(dir, "server")
	return Build(ctx, s.program, "-s -w")
}

// Build builds the server's program with these flags for the linker.
func Build(ctx context.Context, path, ldflags string) error {
	// The module's own directory: its dependencies are to be those of its go.mod.
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/claimcheck-go/claimcheck").Output()
	if err != nil {
		return fmt.Errorf("where is the module (run this in bench): %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags="+ldflags, "-o", path, "./cmd/server")
	cmd.Dir = strings.TrimSpace(string(module))
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("build the server: %s", out), err)
	}
	return nil
}

// installed are those of a scenario's systems that are wanted and can be run here.
func (s *servers) installed(p Plan, sc scenario.Scenario) []string {
	return slices.DeleteFunc(slices.Clone(p.systems(sc)), func(name string) bool {
		return name == system.GraphileWorker && s.node == ""
	})
}

// systems are those of a scenario that the plan wants.
func (p Plan) systems(sc scenario.Scenario) []string {
	if len(p.Systems) == 0 {
		return sc.Systems
	}
	return slices.DeleteFunc(slices.Clone(sc.Systems), func(name string) bool { return !slices.Contains(p.Systems, name) })
}
