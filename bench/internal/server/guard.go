// Package server starts the private servers that a run is measured on, and ends
// them with it, whatever happens to it.
package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/claimcheck-go/claimcheck/internal/holdport"
)

// GuardCommand is the first argument that makes this program a guard.
const GuardCommand = "guard"

// Guarded is a server process with a private directory. A guard process ends the
// server and removes the directory when the pipe from this process closes: at the
// end of a run, and also if this process is killed.
type Guarded struct {
	Dir   string
	port  *holdport.Port
	owner *syscall.Credential
	guard *exec.Cmd
	life  io.Closer
}

// newGuarded makes the directory, below parent. Servers refuse to run as root:
// if this process is root, the directory is given to the first of the users
// that exists, and the server runs as that one.
func newGuarded(parent string, users ...string) (*Guarded, error) {
	dir, err := os.MkdirTemp(parent, "claimcheck-bench-")
	if err != nil {
		return nil, err
	}
	g := &Guarded{Dir: dir}
	if g.port, err = holdport.Hold(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	if os.Getuid() == 0 {
		if g.owner, err = give(dir, append(users, "nobody")); err != nil {
			g.Stop()
			return nil, err
		}
	}
	return g, nil
}

func give(dir string, users []string) (*syscall.Credential, error) {
	for _, name := range users {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid))); err != nil {
			return nil, fmt.Errorf("run as %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("servers do not run as root, and there is no user %v to run them as", users)
}

// command is a program that runs as the server's user.
func (g *Guarded) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = g.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: g.owner}
	return cmd
}

// start runs the server behind its guard, which has a process group of its own
// so that Ctrl-C in a terminal reaches only this process.
func (g *Guarded) start(name string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	uid, gid := os.Getuid(), os.Getgid()
	if g.owner != nil {
		uid, gid = int(g.owner.Uid), int(g.owner.Gid)
	}
	g.guard = exec.Command(self, append([]string{GuardCommand, g.Dir, strconv.Itoa(uid), strconv.Itoa(gid), name}, args...)...)
	g.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	g.guard.Stderr = os.Stderr
	if g.life, err = g.guard.StdinPipe(); err != nil {
		return err
	}
	return g.guard.Start()
}

// Stop ends the server and removes its files.
func (g *Guarded) Stop() {
	if g.guard != nil && g.guard.Process != nil {
		_ = g.life.Close()
		_ = g.guard.Wait()
	}
	g.port.Release()
	_ = os.RemoveAll(g.Dir) // the guard has done so, if there was one
}

// Guard is what the guard process does with the arguments that start gave it.
func Guard(args []string) error {
	if len(args) < 4 {
		return errors.New("usage: guard DIRECTORY UID GID PROGRAM [ARGUMENT …]")
	}
	dir := args[0]
	uid, err1 := strconv.Atoi(args[1])
	gid, err2 := strconv.Atoi(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(args[3], args[4:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if os.Getuid() != uid {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = cmd.Process.Signal(syscall.SIGQUIT) // PostgreSQL's fastest way to end
		time.Sleep(5 * time.Second)
		_ = cmd.Process.Kill()
	}()
	_ = cmd.Wait() // it was signalled
	return nil
}

// failed is err with what the server wrote last.
func (g *Guarded) failed(what string, err error) error {
	text, _ := os.ReadFile(filepath.Join(g.Dir, "log"))
	const most = 2000
	return fmt.Errorf("start %s: %w\n%s", what, err, text[max(0, len(text)-most):])
}
