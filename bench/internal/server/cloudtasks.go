package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"

	"github.com/claimcheck-go/claimcheck/cloudtasks/cloudtaskstest"
)

// CloudTasksCommand is the first argument that makes this program the fake of
// Cloud Tasks: a process of its own, so that its CPU is not the client's.
const CloudTasksCommand = "cloudtasks"

// CloudTasksQueue is the one queue that the fake has. It is paused: creating
// tasks is what is measured, and a delivery would be work beside it.
const CloudTasksQueue = "projects/bench/locations/europe-west1/queues/default"

// CloudTasks is the fake's process.
type CloudTasks struct {
	Addr string
	cmd  *exec.Cmd
	life io.Closer
}

// StartCloudTasks starts the fake. It ends with this process, whose end closes
// the pipe that it reads.
func StartCloudTasks() (*CloudTasks, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &CloudTasks{cmd: exec.Command(self, CloudTasksCommand)}
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C in a terminal reaches only this process
	if c.life, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		c.Stop()
		return nil, fmt.Errorf("start the fake of Cloud Tasks: %w", err)
	}
	c.Addr = strings.TrimSpace(line)
	return c, nil
}

// PID is the fake's process.
func (c *CloudTasks) PID() (int, error) { return c.cmd.Process.Pid, nil }

// Stop ends the fake.
func (c *CloudTasks) Stop() {
	_ = c.life.Close()
	_ = c.cmd.Wait()
}

// ServeCloudTasks is what the fake's process does: it prints its address, and
// serves until its standard input ends.
func ServeCloudTasks() error {
	fake, err := cloudtaskstest.New(cloudtaskstest.Config{
		Queues: []*cloudtaskspb.Queue{{Name: CloudTasksQueue, State: cloudtaskspb.Queue_PAUSED}},
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- fake.Serve(listener) }()
	if _, err := fmt.Println(listener.Addr()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	fake.Close()
	return errors.Join(err, <-served)
}
