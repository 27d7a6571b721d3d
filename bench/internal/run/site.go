package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
	"github.com/claimcheck-go/claimcheck/bench/internal/scenario"
	"github.com/claimcheck-go/claimcheck/bench/internal/server"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// errNoServer says that the server a system needs is not installed.
var errNoServer = errors.New("its server is not installed")

// servers are those that a run has started.
type servers struct {
	postgres *server.Postgres
	redis    map[system.Server]*server.Redis
}

// startServers starts what the plan needs. A Redis that is not installed is
// said and left out.
func (p Plan) startServers(ctx context.Context, scenarios []scenario.Scenario) (*servers, error) {
	postgres, err := server.StartPostgres(ctx, p.Dir)
	if err != nil {
		return nil, err
	}
	s := &servers{postgres, make(map[system.Server]*server.Redis)}
	for _, sys := range system.All() {
		wanted := slices.ContainsFunc(scenarios, func(sc scenario.Scenario) bool { return slices.Contains(sc.Systems, sys.Name) }) &&
			(len(p.Systems) == 0 || slices.Contains(p.Systems, sys.Name))
		if sys.Server == system.Postgres || !wanted {
			continue
		}
		redis, err := server.StartRedis(ctx, p.Dir, sys.Server == system.RedisFsync)
		if errors.Is(err, server.ErrNoRedis) {
			fmt.Fprintf(p.Log, "SKIPPED: %s: %v\n", sys.Name, err)
			continue
		}
		if err != nil {
			s.stop()
			return nil, err
		}
		s.redis[sys.Server] = redis
	}
	return s, nil
}

func (s *servers) stop() {
	for _, redis := range s.redis {
		redis.Stop()
	}
	s.postgres.Stop()
}

// site is where one system is measured in one scenario.
type site struct {
	job
	system   system.System
	postgres *server.Postgres
	redis    *server.Redis // instead
}

// The databases of a site: the one that is prepared, and the copy of it that a
// measurement works on.
const (
	copied = "bench_run"
	master = "bench_master_"
)

func (s *servers) site(sc scenario.Scenario, name string, size scenario.Size) (*site, error) {
	sys, err := system.Named(name)
	if err != nil {
		return nil, err
	}
	at := &site{job: job{Scenario: sc.Name, System: name, Size: size}, system: sys}
	if sys.Server == system.Postgres {
		at.postgres, at.URL = s.postgres, s.postgres.URL(copied)
		at.ServerPID, err = s.postgres.PID()
		return at, err
	}
	at.redis = s.redis[sys.Server]
	if at.redis == nil {
		return nil, errNoServer
	}
	at.URL = at.redis.Addr
	at.ServerPID, err = at.redis.PID()
	return at, err
}

func (s *site) master() string { return master + strings.ReplaceAll(s.System, "-", "_") }

// prepare fills the master database, and leaves it as autovacuum would after a
// while. Redis is filled before each measurement.
func (s *site) prepare(ctx context.Context) error {
	if s.postgres == nil {
		return nil
	}
	if err := s.postgres.Exec(ctx, "postgres", "CREATE DATABASE "+s.master()); err != nil {
		return err
	}
	filling := s.job
	filling.Prepare, filling.URL = true, s.postgres.URL(s.master())
	if _, err := filling.spawn(ctx); err != nil {
		return err
	}
	return s.postgres.Exec(ctx, s.master(), "VACUUM FULL", "VACUUM ANALYZE")
}

// remove drops the master database.
func (s *site) remove(ctx context.Context) {
	if s.postgres != nil {
		_ = s.postgres.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+s.master()+" WITH (FORCE)")
	}
}

// measure measures once, on a fresh copy.
func (s *site) measure(ctx context.Context, profile string) (probe.Figures, error) {
	if err := s.reset(ctx); err != nil {
		return nil, err
	}
	measuring := s.job
	measuring.Profile = profile
	return measuring.spawn(ctx)
}

func (s *site) reset(ctx context.Context) error {
	if s.postgres != nil {
		// The checkpoint comes first: the copy is in the log whole, so that the
		// measurement need not write whole pages again, as right after a checkpoint.
		return s.postgres.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+copied+" WITH (FORCE)", "CHECKPOINT",
			"CREATE DATABASE "+copied+" TEMPLATE "+s.master())
	}
	if err := flush(s.redis.Addr); err != nil {
		return err
	}
	filling := s.job
	filling.Prepare = true
	_, err := filling.spawn(ctx)
	return err
}

// flush empties a Redis.
func flush(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("FLUSHALL SYNC\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err == nil && !strings.HasPrefix(string(answer[:n]), "+OK") {
		err = fmt.Errorf("empty Redis: %s", answer[:n])
	}
	return err
}
