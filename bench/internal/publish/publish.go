// Package publish makes what the documents say of speed from the files that the
// benchmark wrote, so that the one cannot disagree with the other.
package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/claimcheck-go/claimcheck/bench/internal/deps"
	"github.com/claimcheck-go/claimcheck/bench/internal/report"
)

// Docs is the directory of the documents, from where the benchmark is run.
const Docs = "../docs"

// The page, and the text between its markers, which comes from the results.
const (
	page  = "benchmarks.md"
	begin = "<!-- bench:begin -->"
	end   = "<!-- bench:end -->"
)

// Sources are the files that the benchmark wrote.
type Sources struct {
	Results      string
	Dependencies string // may be missing
}

// All writes the page and its charts.
func All(docs string, s Sources) error {
	files, err := Files(docs, s)
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[path], 0o644); err != nil {
			return err
		}
		fmt.Println("wrote", path)
	}
	return nil
}

// Files are the page and its charts as they should be, by their path. The error
// is report.ErrNone if nothing was measured yet.
func Files(docs string, s Sources) (map[string][]byte, error) {
	results, machine, err := report.Read(s.Results)
	if err != nil {
		return nil, err
	}
	costs, err := readCosts(s.Dependencies)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	var names []picture
	for _, p := range pictures {
		drawing, ok, err := p.draw(results)
		if err != nil {
			return nil, err
		}
		if ok {
			files[filepath.Join(docs, "images", p.file())] = drawing
			names = append(names, p)
		}
	}
	path := filepath.Join(docs, page)
	old, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	files[path], err = between(old, markdown(results, machine, costs, names))
	return files, err
}

// between replaces the text between the markers.
func between(page []byte, text string) ([]byte, error) {
	before, rest, ok1 := bytes.Cut(page, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("the page lacks %s or, after it, %s", begin, end)
	}
	return slices.Concat(before, []byte(begin+"\n\n"+text+"\n"+end), after), nil
}

func readCosts(path string) (*deps.Costs, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	costs := new(deps.Costs)
	if err := json.Unmarshal(text, costs); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return costs, nil
}
