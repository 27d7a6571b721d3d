package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/bench/internal/server"
)

// describe prints what the figures depend on.
func (p Plan) describe(ctx context.Context, s *servers) {
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(p.Log, "%s; %s, %d cores; load before: %s\n", time.Now().UTC().Format("2006-01-02 15:04 MST"), processor(), runtime.NumCPU(), strings.TrimSpace(string(load)))
	version, err := s.postgres.Version(ctx)
	if err != nil {
		version = err.Error()
	}
	fmt.Fprintf(p.Log, "%s; PostgreSQL %s (%s)\n", runtime.Version(), version, strings.Join(server.Settings, ", "))
	if len(s.redis) > 0 {
		version, err := server.RedisVersion()
		if err != nil {
			version = err.Error()
		}
		fmt.Fprintf(p.Log, "Redis %s\n", version)
	}
	fmt.Fprintf(p.Log, "peers: %s\n", strings.Join(peers(), ", "))
	took, err := fsyncTime(p.Dir)
	switch {
	case err != nil:
		fmt.Fprintf(p.Log, "fsync: %v\n", err)
	case onMemory(p.Dir):
		fmt.Fprintln(p.Log, "WARNING: the data lies in memory (tmpfs), where fsync does nothing: name a directory on a disk with -dir")
	default:
		fmt.Fprintf(p.Log, "writing 8 kB and fsync: median %s of 50\n", took.Round(time.Microsecond))
	}
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
		case "github.com/riverqueue/river", "github.com/hibiken/asynq", "github.com/dbos-inc/dbos-transact-golang", "github.com/jackc/pgx/v5":
			versions = append(versions, module.Path+" "+module.Version)
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

// onMemory reports whether dir lies in a file system that has no disk.
func onMemory(dir string) bool {
	if dir == "" {
		dir = os.TempDir()
	}
	const tmpfs = 0x01021994
	var fs syscall.Statfs_t
	return syscall.Statfs(filepath.Clean(dir), &fs) == nil && fs.Type == tmpfs
}
