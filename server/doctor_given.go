package server

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/dustin/go-humanize"
)

// givenSettings is what a call set, and how.
type givenSettings []givenSetting

// givenSetting is one setting. value is for people: what is secret is not in it.
type givenSetting struct {
	name   string // of the variable
	flag   string // with its dashes
	source string // "flag --…", "variable …", or empty: nobody set it
	value  string
	secret string // its value, if it is one
}

// givenIn lists all settings in the order of the grammar.
func givenIn(command *kong.Context) givenSettings {
	flags := make(map[string]bool)
	for _, element := range command.Path {
		if element.Flag != nil && !element.Resolved {
			flags[element.Flag.Name] = true
		}
	}
	var given givenSettings
	for _, flag := range command.Model.Flags {
		if flag.Group == nil || len(flag.Envs) == 0 {
			continue // --help
		}
		g := givenSetting{name: flag.Envs[0], flag: "--" + flag.Name, value: settingText(flag.Target.Interface())}
		switch {
		case flags[flag.Name]:
			g.source = "flag " + g.flag
		case os.Getenv(g.name) != "":
			g.source = "variable " + g.name
		}
		if flag.PlaceHolder == "SECRET" || strings.HasPrefix(flag.PlaceHolder, "whsec") {
			g.secret = g.value
			g.value = fmt.Sprintf("set, %d characters", len(strings.TrimSpace(g.secret)))
		}
		given = append(given, g)
	}
	return given
}

// settingText writes a setting's value as it is given, without passwords.
func settingText(value any) string {
	switch v := value.(type) {
	case duration:
		return time.Duration(v).String()
	case byteSize:
		return humanize.IBytes(uint64(v)) //nolint:gosec // it is positive
	case []string:
		return strings.Join(nonEmpty(v), ",")
	case queueAliases:
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

// passwordIn is what stands between the name and the host of a URL, as it is
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

// secrets are the values that must not be printed.
func (p *program) secrets() []string {
	var secrets []string
	add := func(value string) {
		if len(value) > 3 { // a shorter one would tear words apart
			secrets = append(secrets, value)
		}
	}
	for _, g := range p.given {
		add(strings.TrimSpace(g.secret))
	}
	for _, rawURL := range []string{p.settings.DatabaseURL, p.settings.TaskHandlerURL} {
		add(passwordIn(rawURL))
		if u, err := url.Parse(rawURL); err == nil {
			password, _ := u.User.Password()
			add(password)
			add(u.Query().Get("password"))
		}
	}
	return secrets
}
