package deps

import (
	"bufio"
	"slices"
	"strconv"
	"strings"
)

// Names for what belongs to no module, and the one that package main is in.
const (
	product  = "github.com/claimcheck-go/claimcheck"
	standard = "Go's standard library and runtime"
	shared   = "tables of the linker, for all"
)

// modules are the paths of those in a program, the longest first.
type modules []string

// newModules reads what go version -m prints.
func newModules(text string) modules {
	var all modules
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && (fields[0] == "mod" || fields[0] == "dep") {
			all = append(all, fields[1])
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// of is the module of a symbol, or of a package followed by a dot.
func (m modules) of(symbol string) string {
	for _, path := range m {
		if rest, ok := strings.CutPrefix(symbol, path); ok && rest != "" && (rest[0] == '.' || rest[0] == '/') {
			return path
		}
	}
	if strings.HasPrefix(symbol, "main.") {
		return product
	}
	return standard
}

// sizes adds up what go tool nm -size prints: address, size, kind, name.
func (m modules) sizes(text string) map[string]int64 {
	sizes := make(map[string]int64)
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || strings.ContainsAny(fields[2], "UBbNn") { // undefined, or no bytes of the file
			continue
		}
		size, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			continue
		}
		name := strings.Join(fields[3:], " ")
		if strings.HasPrefix(name, "runtime.pclntab") || strings.HasPrefix(name, "go:") && !strings.HasPrefix(name, "go:itab.") {
			sizes[shared] += size
			continue
		}
		for _, prefix := range []string{"type:.eq.", "type:.hash.", "type:", "go:itab."} {
			name = strings.TrimPrefix(name, prefix)
		}
		sizes[m.of(strings.TrimLeft(name, "*[]"))] += size
	}
	return sizes
}
