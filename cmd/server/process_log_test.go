package main

import (
	"bytes"
	"sync"
)

// procLog collects what a process writes.
type procLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *procLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *procLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
