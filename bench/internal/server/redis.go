package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Redis is a private Redis server.
type Redis struct {
	*Guarded
	Addr string
}

// StartRedis starts a server below parent, with Redis's own defaults; with fsync
// it appends every write to a log and syncs that before it answers.
func StartRedis(ctx context.Context, parent string, fsync bool) (*Redis, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, err
	}
	g, err := newGuarded(parent, "redis")
	if err != nil {
		return nil, err
	}
	r := &Redis{g, g.port.Addr()}
	args := []string{"--port", strconv.Itoa(g.port.Number), "--bind", "127.0.0.1", "--dir", g.Dir, "--pidfile", filepath.Join(g.Dir, "pid")}
	if fsync {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	if err = r.start(program, args...); err == nil {
		err = r.await(ctx)
	}
	if err != nil {
		err = r.failed("Redis", err)
		r.Stop()
		return nil, err
	}
	return r, nil
}

func (r *Redis) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := net.DialTimeout("tcp", r.Addr, time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Flush empties the server.
func (r *Redis) Flush() error {
	conn, err := net.Dial("tcp", r.Addr)
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

// RedisVersion is what the installed redis-server says of itself.
func RedisVersion() (string, error) {
	out, err := exec.Command("redis-server", "--version").Output()
	if err != nil {
		return "", err
	}
	var version string
	_, err = fmt.Sscanf(string(out), "Redis server v=%s", &version)
	return version, err
}

// PID is the server's process.
func (r *Redis) PID() (int, error) {
	text, err := os.ReadFile(filepath.Join(r.Dir, "pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
