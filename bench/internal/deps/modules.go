package deps

import (
	"debug/elf"
	"slices"
	"strings"
)

// Names for what belongs to no module, and the one that package main is in.
const (
	product  = "github.com/claimcheck-go/claimcheck"
	standard = "Go's standard library and runtime"
	shared   = "names of types, tables of functions and lines, for all"
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

// symbol is a part of the program's file.
type symbol struct {
	name string
	size int64
}

// readSymbols reads those that take room in the file, and not only in memory.
func readSymbols(path string) ([]symbol, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	all, err := file.Symbols()
	if err != nil {
		return nil, err
	}
	var some []symbol
	for _, s := range all {
		if i := int(s.Section); i > 0 && i < len(file.Sections) && file.Sections[i].Type != elf.SHT_NOBITS {
			some = append(some, symbol{s.Name, int64(s.Size)})
		}
	}
	return some, nil
}

// sizes adds symbols up by module. Names of types and tables begin with what
// they are.
func (m modules) sizes(symbols []symbol) map[string]int64 {
	sizes := make(map[string]int64)
	for _, s := range symbols {
		name := s.name
		for _, prefix := range []string{"type:.eq.", "type:.hash.", "type:", "go:itab."} {
			name = strings.TrimPrefix(name, prefix)
		}
		if strings.HasPrefix(name, "go:") || strings.HasPrefix(name, "runtime.findfunctab") || strings.HasPrefix(name, "runtime.typelink") {
			continue // of the linker
		}
		sizes[m.of(strings.TrimLeft(name, "*[]"))] += s.size
	}
	return sizes
}
