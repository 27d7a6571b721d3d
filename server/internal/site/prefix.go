// Package site checks where the admin pages are, and under whose name: what package admin
// is given, and the settings of the server that give it.
package site

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// CheckPrefix says what is wrong with a path that comes before the paths of the pages.
// Empty is none.
func CheckPrefix(prefix string) error {
	parts := strings.Split(strings.Trim(prefix, "/"), "/")
	bad := func(part string) bool { return part == "" || part == "." || part == ".." }
	switch {
	case prefix == "", prefix == "/":
		return nil
	case prefix[0] != '/':
		return errors.New("must begin with /")
	case strings.ContainsFunc(prefix, func(r rune) bool { return r <= ' ' || r == 0x7F || strings.ContainsRune(`\?#;"`, r) }):
		return fmt.Errorf(`must be a path without white space and any of \ ? # ; ", not %.100q`, prefix)
	case strings.HasPrefix(prefix, "//"), slices.ContainsFunc(parts, bad):
		return fmt.Errorf("must be a path without empty parts, . and .., such as /ops/tasks, not %.100q", prefix)
	}
	return nil
}
