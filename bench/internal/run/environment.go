package run

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/report"
	"github.com/claimcheck-go/claimcheck/bench/internal/server"
	"github.com/claimcheck-go/claimcheck/bench/internal/system"
)

// machine is what the results depend on.
func (p Plan) machine(ctx context.Context, s *servers) report.Machine {
	load, _ := os.ReadFile("/proc/loadavg")
	m := report.Machine{
		Date: time.Now().UTC().Format("2006-01-02 15:04 MST"), Revision: revision(ctx),
		Processor: processor(), Cores: runtime.NumCPU(), Load: strings.TrimSpace(string(load)),
		Versions: append([]string{runtime.Version()}, s.versions(ctx)...), Settings: server.Settings,
		Command: p.Command, Sizes: fmt.Sprintf("%d runs, %v s where a scenario runs for a time", p.Runs, p.Size.Seconds),
	}
	if p.Size.Scale != 1 {
		m.Warnings = append(m.Warnings, fmt.Sprintf("all counts are %v of what the scenarios' names say", p.Size.Scale))
	}
	took, err := fsyncTime(p.Dir)
	switch {
	case err != nil:
		m.Fsync = err.Error()
	case onMemory(p.Dir):
		m.Warnings = append(m.Warnings, "the data is in memory (tmpfs), where fsync does nothing: name a directory on a disk with -dir")
	default:
		m.Fsync = fmt.Sprintf("median %s of 50", took.Round(time.Microsecond))
	}
	return m
}

// versions are those of the servers, and of the other systems.
func (s *servers) versions(ctx context.Context) []string {
	var all []string
	add := func(name, version string, err error) {
		if err != nil {
			version = err.Error()
		}
		all = append(all, name+" "+version)
	}
	if postgres, ok := s.storage[system.Postgres].(postgresStorage); ok {
		version, err := postgres.Version(ctx)
		add("PostgreSQL", version, err)
	}
	if mariadb, ok := s.storage[system.MariaDB].(mariadbStorage); ok {
		version, err := mariadb.Version(ctx)
		add("MariaDB", version, err)
	}
	if s.storage[system.Redis] != nil || s.storage[system.RedisFsync] != nil {
		version, err := server.RedisVersion()
		add("Redis", version, err)
	}
	if s.node != "" {
		versions, err := server.NodeVersions(ctx, s.node, system.GraphileWorkerDir, system.GraphileWorker)
		if err != nil {
			versions = []string{err.Error()}
		}
		all = append(all, versions...)
	}
	return append(all, peers()...)
}

// revision is the commit of the code, marked if the tree has changes.
func revision(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	_, after, _ := strings.Cut(string(text), "model name")
	line, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(strings.TrimLeft(line, "\t :"))
}

// peers are the versions of the other systems.
func peers() []string {
	var versions []string
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/riverqueue/river", "github.com/hibiken/asynq", "github.com/dbos-inc/dbos-transact-golang", "github.com/jackc/pgx/v5", "github.com/go-sql-driver/mysql", "modernc.org/sqlite":
			versions = append(versions, strings.TrimPrefix(strings.TrimSuffix(module.Path, "/v5"), "github.com/")+" "+module.Version)
		}
	}
	return versions
}

// fsyncTime is how long the disk below takes to make 8 kB durable.
func fsyncTime(dir string) (time.Duration, error) {
	file, err := os.CreateTemp(dir, "claimcheck-bench-fsync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	page := make([]byte, 8192)
	times := make([]time.Duration, 50)
	for i := range times {
		began := time.Now()
		if _, err := file.WriteAt(page, int64(i)*int64(len(page))); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// onMemory reports whether dir is in a file system that has no disk.
func onMemory(dir string) bool {
	if dir == "" {
		dir = os.TempDir()
	}
	const tmpfs = 0x01021994
	var fs syscall.Statfs_t
	return syscall.Statfs(filepath.Clean(dir), &fs) == nil && fs.Type == tmpfs
}
