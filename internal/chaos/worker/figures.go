package main

import (
	"encoding/json"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// figures are what a process must not use more and more of.
type figures struct {
	Goroutines  int `json:"goroutines"`
	Descriptors int `json:"descriptors"` // open files and connections
	Resident    int `json:"resident"`    // bytes of memory
}

// withFigures serves the figures at /debug/figures, beside the API.
func withFigures(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/debug/figures" {
			api.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(figures{runtime.NumGoroutine(), descriptors(), resident()})
	})
}

// descriptors counts open files; 0 where the system has no /proc.
func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// resident is how much memory the process takes; 0 where the system has no
// /proc.
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
