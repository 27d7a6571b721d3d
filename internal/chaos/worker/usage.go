package main

import (
	"encoding/json"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// usage is what a process must not use more and more of.
type usage struct {
	Goroutines  int `json:"goroutines"`
	Descriptors int `json:"descriptors"` // open files and connections
	Resident    int `json:"resident"`    // bytes of memory
}

// withUsage serves the usage at /debug/usage, besides the API.
func withUsage(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/debug/usage" {
			api.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(usage{runtime.NumGoroutine(), descriptors(), resident()})
	})
}

// descriptors counts open files; 0 where the system has no /proc.
func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// resident returns the memory of the process; 0 where the system has no /proc.
func resident() int {
	text, _ := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return pages * os.Getpagesize()
}
