package dburl

import (
	"path"
	"regexp"
	"strings"
)

// Scheme returns what precedes the first colon of a URL; empty if that is no
// scheme.
func Scheme(rawURL string) string {
	scheme, _, found := strings.Cut(rawURL, ":")
	if !found || !schemeForm.MatchString(scheme) {
		return ""
	}
	return scheme
}

var (
	schemeForm = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)
	goDSN      = regexp.MustCompile(`^[^/]*@(unix|tcp)?\(`)
	libpqDSN   = regexp.MustCompile(`(?i)\b(host|user|dbname|database|password)\s*=`)
)

// Suggestion returns the accepted form of a database that rawURL names in the form
// of another program; empty if none is likely. It may quote the path of a file, and
// nothing else of rawURL, which may contain a password.
func Suggestion(rawURL string) string {
	const (
		postgres = "postgres://USER:PASSWORD@HOST/NAME" //nolint:gosec // a form, not a password
		mysql    = "mysql://USER:PASSWORD@HOST/NAME"    //nolint:gosec // the same
	)
	scheme, rest, found := strings.Cut(rawURL, "://")
	lower := strings.ToLower(scheme)
	switch {
	case !found && goDSN.MatchString(rawURL):
		return mysql + ", or mysql://USER:PASSWORD@/NAME?socket=/PATH for a socket"
	case !found && libpqDSN.MatchString(rawURL):
		return postgres + ", or postgres://USER:PASSWORD@/NAME?host=/DIRECTORY for a socket"
	case !found && (strings.HasPrefix(rawURL, "file:") || strings.HasPrefix(rawURL, "sqlite3:")):
		_, file, _ := strings.Cut(rawURL, ":")
		return "sqlite:" + file
	case !found && isFile(rawURL):
		return "sqlite:" + rawURL
	case !found:
		return ""
	case strings.HasPrefix(lower, "sqlite"), lower == "file":
		return "sqlite:" + rest
	case strings.Contains(lower, "postg"), strings.Contains(lower, "psql"), strings.HasPrefix(lower, "cockroach"):
		return postgres
	case strings.Contains(lower, "mysql"), strings.Contains(lower, "maria"):
		return mysql
	}
	return ""
}

// isFile reports whether text is the path of a file, as far as its form shows.
func isFile(text string) bool {
	if strings.ContainsAny(text, "@ =?") {
		return false
	}
	switch path.Ext(text) {
	case ".db", ".sqlite", ".sqlite3", ".db3":
		return true
	}
	return strings.HasPrefix(text, "/") || strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../")
}
