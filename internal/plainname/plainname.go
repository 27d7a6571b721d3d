// Package plainname checks names that consist of ASCII letters, digits and a few
// other characters. A regular expression with the bound of its length compiles to
// hundreds of kilobytes, in every start of every program.
package plainname

import "strings"

// Valid reports whether name has from 1 to longest bytes, all of them ASCII letters,
// digits or in others. No part of it between slashes is . or .., which no path of a URL can
// have: clients and servers take them away.
func Valid(name string, longest int, others string) bool {
	if name == "" || len(name) > longest || strings.IndexByte(name, '.') >= 0 && hasDots(name) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(others, c) >= 0:
		default:
			return false
		}
	}
	return true
}

// hasDots reports whether a part of name between slashes is . or ...
func hasDots(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}
