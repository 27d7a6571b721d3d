// Package dburl checks and normalizes the URLs of databases before they are parsed.
// It refuses a password that was not percent-encoded, which would otherwise be taken
// for a host or a database, and messages name those.
package dburl

import "strings"

// Misread reports whether a URL of the form scheme://user:password@host/name
// would be parsed wrongly, because a character of the password (one of / ? # @)
// ends a part of the URL early: then an @ is where none belongs.
func Misread(rawURL string) bool {
	_, rest, _ := strings.Cut(rawURL, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	path, query, _ := strings.Cut(tail, "?")
	if strings.Count(authority, "@") > 1 || strings.Contains(tail, "#") || strings.Contains(path, "@") {
		return true
	}
	for parameter := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.Contains(name, "@") || strings.Contains(value, "@") && !holdsAt[name] {
			return true
		}
	}
	return false
}

// holdsAt are the parameters whose values may contain an @.
var holdsAt = map[string]bool{"user": true, "password": true, "application_name": true, "options": true}
