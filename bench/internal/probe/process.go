// Package probe reads what a measurement cost: time, CPU on both sides, memory,
// and the database's log.
package probe

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat, the same on every Linux
// that Go runs on.
const clockTick = 10 * time.Millisecond

// stat is the part of /proc/PID/stat that counts.
type stat struct {
	parent      int
	own, reaped time.Duration // CPU of the process; of its children that have ended
}

func readStat(path string) (s stat, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	// The second field is a name in parentheses, which may contain anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return s, fmt.Errorf("%s: unknown format", path)
	}
	number := func(i int) int64 {
		n, convErr := strconv.ParseInt(fields[i], 10, 64)
		if convErr != nil {
			err = convErr
		}
		return n
	}
	s.parent = int(number(1))
	s.own = time.Duration(number(11)+number(12)) * clockTick
	s.reaped = time.Duration(number(13)+number(14)) * clockTick
	return s, err
}

// ServerCPU is what the process pid and its children have used. A child that
// ends moves from its own entry to its parent's, so that nothing is lost.
func ServerCPU(pid int) (time.Duration, error) {
	first, err := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	sum := first.own + first.reaped
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range all {
		if s, err := readStat(path); err == nil && s.parent == pid { // others come and go
			sum += s.own + s.reaped
		}
	}
	return sum, nil
}

// ClientCPU is what this process has used.
func ClientCPU() (time.Duration, error) {
	var usage syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), err
}

// PeakRSS is the most memory, in bytes, that a process has had; 0 means this one.
// (Getrusage would count what its parent had before the exec.)
func PeakRSS(pid int) (int64, error) {
	if pid == 0 {
		pid = os.Getpid()
	}
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	var kB int64
	if _, err := fmt.Sscanf(after, "%d kB", &kB); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return kB << 10, nil
}
