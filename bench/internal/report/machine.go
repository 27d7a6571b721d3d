package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Machine says what results depend on, beside the code.
type Machine struct {
	Date      string   `json:"date"`
	Revision  string   `json:"revision"` // of the code; empty if unknown
	Processor string   `json:"processor"`
	Cores     int      `json:"cores"`
	Load      string   `json:"load"`  // before the first measurement
	Fsync     string   `json:"fsync"` // how long one takes
	Versions  []string `json:"versions"`
	Settings  []string `json:"settings"` // of PostgreSQL
	Command   string   `json:"command"`
	Sizes     string   `json:"sizes"`
	Took      string   `json:"took"`
	// LeftOut says which systems are not measured, and why.
	LeftOut []string `json:"left_out,omitempty"`
	// Warnings are what makes the results doubtful.
	Warnings []string `json:"warnings"`
}

// String is a paragraph for people.
func (m Machine) String() string {
	text := fmt.Sprintf("%s; %s, %d cores; load before: %s\n%s\nPostgreSQL with %s\nwriting 8 kB and fsync: %s; %s",
		m.Date, m.Processor, m.Cores, m.Load, strings.Join(m.Versions, ", "), strings.Join(m.Settings, ", "), m.Fsync, m.Sizes)
	for _, left := range m.LeftOut {
		text += "\n" + left
	}
	for _, warning := range m.Warnings {
		text += "\nWARNING: " + warning
	}
	return text
}

// machinePath is the file beside a file of results.
func machinePath(results string) string {
	return strings.TrimSuffix(results, ".json") + "-machine.json"
}

// WriteMachine writes m beside the results.
func WriteMachine(results string, m Machine) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(machinePath(results), append(text, '\n'), 0o644)
}

// ErrNone says that nothing was measured yet.
var ErrNone = errors.New("nothing was measured yet: run make bench")

// Read reads results, and what they depend on.
func Read(path string) (results []Result, m Machine, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, m, ErrNone
	}
	if err != nil {
		return nil, m, err
	}
	if err := json.Unmarshal(text, &results); err != nil {
		return nil, m, fmt.Errorf("%s: %w", path, err)
	}
	if text, err = os.ReadFile(machinePath(path)); err != nil {
		return nil, m, err
	}
	return results, m, json.Unmarshal(text, &m)
}
