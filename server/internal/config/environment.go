package config

import "strings"

// Environment holds variables by name, as they are set: white space around a
// value is part of it until [Environment.Get] returns it.
type Environment map[string]string

// ParseEnvironment reads pairs of the form NAME=value, as os.Environ returns them.
func ParseEnvironment(pairs []string) Environment {
	env := make(Environment, len(pairs))
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

// Get returns the value of a variable without the white space around it; empty
// if it is not set. Files and `echo … | gcloud secrets versions add` end values
// with line breaks.
func (e Environment) Get(name string) string { return strings.TrimSpace(e[name]) }

// blank reports whether a variable is set to white space alone. One that is set to
// nothing, as compose files write them, counts as not set.
func (e Environment) blank(name string) bool { return e[name] != "" && e.Get(name) == "" }
