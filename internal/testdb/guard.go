package testdb

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/claimcheck-go/claimcheck/internal/holdport"
)

// guarded is a server process that ends with the test process, even if that is
// killed, the directory of its files, and its port.
type guarded struct {
	what   string // for messages
	dir    string // holds data, socket and log
	owner  *syscall.Credential
	signal string // that ends the server at once, without harm
	port   *holdport.Port

	guard *exec.Cmd // the shell that runs the server; nil while it is stopped
	life  *os.File  // the pipe to it: when this end closes, the server ends
}

// newGuarded makes the directory. Servers refuse to run as root: if this process is root,
// the directory belongs to the first of the users that exists.
func newGuarded(what, signal string, users ...string) (*guarded, error) {
	dir, err := os.MkdirTemp("", "claimcheck-test-")
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", what, err)
	}
	g := &guarded{what: what, dir: dir, signal: signal}
	if g.port, err = holdport.Hold(); err != nil {
		g.remove()
		return nil, fmt.Errorf("test %s: %w", what, err)
	}
	if os.Getuid() == 0 {
		if err := g.dropPrivileges(users); err != nil {
			g.remove()
			return nil, err
		}
	}
	return g, nil
}

func (g *guarded) dropPrivileges(users []string) error {
	for _, name := range append(users, "nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(g.dir, int(uid), int(gid))); err != nil {
			return fmt.Errorf("test %s: run as %s: %w", g.what, name, err)
		}
		g.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return nil
	}
	return fmt.Errorf("test %s: it cannot run as root, and there is no user %v or nobody to run it as", g.what, users)
}

// command is a program that runs as the server's user, in a process group of
// its own so that Ctrl-C in a terminal does not reach it first.
func (g *guarded) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+g.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: g.owner}
	return cmd
}

// guardScript runs the server ("$@" after the signal) until it ends by itself, or until
// standard input is closed, because the test process released it or died. In the latter
// case the script removes the server's directory ($0).
const guardScript = `
signal=$1; shift
exec 3<&0
"$@" 3<&- & server=$!
{ read -r _ <&3; kill -"$signal" "$server"; } 2>/dev/null & watch=$!
exec 3<&-
wait "$server" 2>/dev/null
kill "$watch" 2>/dev/null || rm -rf "$0"
`

// start runs the server; ready waits until it answers.
func (g *guarded) start(ready func() error, name string, args ...string) error {
	log, err := os.Create(filepath.Join(g.dir, "log"))
	if err != nil {
		return fmt.Errorf("test %s: %w", g.what, err)
	}
	defer func() { _ = log.Close() }()
	stdin, life, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("test %s: %w", g.what, err)
	}
	defer func() { _ = stdin.Close() }()
	cmd := g.command("/bin/sh", append([]string{"-c", guardScript, g.dir, g.signal, name}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, log, log
	if err := cmd.Start(); err != nil {
		_ = life.Close()
		return fmt.Errorf("test %s: %w", g.what, err)
	}
	g.guard, g.life = cmd, life
	if err := ready(); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("test %s does not answer: %w\n%s", g.what, err, text)
	}
	return nil
}

// end signals the server, whose process ID pid finds, and waits for its end.
func (g *guarded) end(pid func() (int, error), signal syscall.Signal) error {
	if g.guard == nil {
		return nil
	}
	id, err := pid()
	if err == nil {
		err = syscall.Kill(id, signal)
	}
	if err != nil {
		return fmt.Errorf("test %s: cannot end it: %w", g.what, err)
	}
	_ = g.guard.Wait() // it was killed
	g.release()
	return nil
}

// release closes this end of the pipe, which ends the server if it still runs.
func (g *guarded) release() {
	_ = g.life.Close()
	_ = g.guard.Wait()
	g.guard, g.life = nil, nil
}

// remove ends the server and deletes its files.
func (g *guarded) remove() {
	if g.guard != nil {
		g.release()
	}
	if g.port != nil {
		g.port.Release()
	}
	_ = os.RemoveAll(g.dir) // the script has done so if it could
}
