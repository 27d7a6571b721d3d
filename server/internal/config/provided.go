package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Provided is one setting, and how it was set.
type Provided struct {
	Name   string // of the variable
	Flag   string // with its dashes
	Source string // "flag --…", "variable …", "field …", or empty: it is not set
	Value  string // for people: a secret is not in it
	Secret string // the value, if it is secret
}

// Provided lists all settings in the order of the grammar.
func (s *Sources) Provided() []Provided {
	var all []Provided
	for _, flag := range s.nodes[0].Flags {
		if flag.Group == nil || len(flag.Envs) == 0 {
			continue // --help
		}
		p := Provided{Name: flag.Envs[0], Flag: "--" + flag.Name, Value: valueText(flag.Target.Interface())}
		switch {
		case s.flags[p.Flag]:
			p.Source = "flag " + p.Flag
		case s.fields[p.Name] != "":
			p.Source = "field " + s.fields[p.Name]
		case s.variables[p.Flag] != "":
			p.Source = "variable " + p.Name
		}
		if strings.HasPrefix(flag.PlaceHolder, "SECRET") || strings.HasPrefix(flag.PlaceHolder, "whsec") {
			p.Secret = p.Value
			p.Value = fmt.Sprintf("set, %d characters", len(strings.TrimSpace(p.Secret)))
		}
		all = append(all, p)
	}
	return all
}

// valueText writes a setting's value as it is set, without passwords.
func valueText(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return v.String()
	case int64: // TASKS_MAX_BODY
		return humanize.IBytes(uint64(v)) //nolint:gosec // it is positive
	case []string:
		return strings.Join(NonEmpty(v), ",")
	case map[string][]string:
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			for _, id := range v[name] {
				pairs = append(pairs, name+"="+id)
			}
		}
		return strings.Join(pairs, ",")
	case string:
		if password := passwordIn(v); password != "" {
			return strings.ReplaceAll(v, password, "xxxxx")
		}
		return v
	}
	return fmt.Sprint(value)
}

// passwordIn is what is between the name and the host of a URL, as it is
// written there, even if the rest cannot be read.
func passwordIn(rawURL string) string {
	_, rest, found := strings.Cut(rawURL, "://")
	at := strings.LastIndexByte(rest, '@')
	if !found || at < 0 {
		return ""
	}
	_, password, _ := strings.Cut(rest[:at], ":")
	return password
}

// StrongSecret is the length below which a shared secret causes a warning.
const StrongSecret = 16

// Secrets returns the values that must not be printed.
func Secrets(settings *Settings, provided []Provided) []string {
	var secrets []string
	add := func(value string) {
		if len(value) > 3 { // a shorter one would tear words apart
			secrets = append(secrets, value)
		}
	}
	for _, p := range provided {
		add(strings.TrimSpace(p.Secret))
	}
	for _, rawURL := range []string{settings.DatabaseURL, settings.TaskHandlerURL} {
		add(passwordIn(rawURL))
		if u, err := url.Parse(rawURL); err == nil {
			password, _ := u.User.Password()
			add(password)
			add(u.Query().Get("password"))
		}
	}
	return secrets
}
