package probe

import (
	"os"
	"path/filepath"
	"testing"
)

// A profile shows what is measured, not what prepares it.
func TestProfileIsOfTheStretch(t *testing.T) {
	m, err := NewMeter(t.Context(), 0, "")
	if err != nil {
		t.Fatal(err)
	}
	m.Profile = filepath.Join(t.TempDir(), "profile")
	if _, err := os.Stat(m.Profile); err == nil {
		t.Error("there is a profile before the start")
	}
	for range 2 { // the second replaces the first
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Stop(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(m.Profile); err != nil || len(text) == 0 {
			t.Errorf("the profile has %d bytes after the end, %v", len(text), err)
		}
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Close(t.Context())
	if text, err := os.ReadFile(m.Profile); err != nil || len(text) == 0 {
		t.Errorf("the profile has %d bytes after Close, %v", len(text), err)
	}
}
