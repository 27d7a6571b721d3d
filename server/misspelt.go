package server

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/alecthomas/kong"
)

// misspelt is a variable that is set and looks like a setting, but is none.
type misspelt struct {
	name  string
	meant string // the setting that is likely meant; empty: none is
}

func (m misspelt) String() string {
	if m.meant == "" {
		return m.name + " is set, but there is no such setting: server --help lists them"
	}
	return fmt.Sprintf("%s is set, but there is no such setting: did you mean %s?", m.name, m.meant)
}

// prefixes are those of settings: what else begins so is a setting misspelt.
var prefixes = []string{"TASKS_", "CLAIMCHECK_", "CLOUD_TASKS_"}

var (
	// platformName are the names of platforms and libraries, and of this project's tests.
	platformName = regexp.MustCompile(`^(K_|GAE_|OTEL_|PG|KUBERNETES_|CLAIMCHECK_TEST_)`)
	// serviceLink are the names that Kubernetes sets for each of its services.
	serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$`)
)

// findMisspelt returns the variables of an environment that look like settings:
// within two letters of one, or one letter where a name has fewer than eight, or
// with a prefix of settings. Variables that are set to nothing count as unset.
func findMisspelt(environ, settings, exceptions []string) []misspelt {
	values := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	var found []misspelt
	for name, value := range values {
		switch {
		case value == "", slices.Contains(settings, name), slices.Contains(exceptions, name), platformName.MatchString(name),
			values["KUBERNETES_SERVICE_HOST"] != "" && serviceLink.MatchString(name),
			values["JENKINS_URL"] != "" && name == "JOB_NAME":
			continue
		}
		if meant, like := likeSetting(strings.ToUpper(name), settings); like {
			found = append(found, misspelt{name, meant})
		}
	}
	slices.SortFunc(found, func(a, b misspelt) int { return strings.Compare(a.name, b.name) })
	return found
}

// likeSetting reports whether a name looks like a setting's, and which one is
// likely meant.
func likeSetting(name string, settings []string) (meant string, like bool) {
	least := len(name) / 3
	for _, setting := range settings {
		distance := levenshtein.ComputeDistance(name, setting)
		letters := 2
		if min(len(name), len(setting)) < 8 {
			letters = 1
		}
		like = like || distance <= letters
		if distance <= least {
			meant, least = setting, distance-1
		}
	}
	for _, prefix := range prefixes {
		rest, has := strings.CutPrefix(name, prefix)
		if !has || like {
			continue
		}
		like = true
		for _, setting := range settings {
			if setting == rest || strings.HasSuffix(setting, "_"+name) {
				return setting, true
			}
		}
	}
	return meant, like
}

// misspelt looks at the environment of this process.
func (p *program) misspelt(root *kong.Node) []misspelt {
	var settings []string
	for _, node := range append([]*kong.Node{root}, root.Children...) {
		for _, flag := range node.Flags {
			settings = append(settings, flag.Envs...)
		}
	}
	return findMisspelt(os.Environ(), settings, ownVariables)
}

// warnMisspelt prints a line for each, whatever LOG_LEVEL is.
func (p *program) warnMisspelt() {
	log := p.loggerFrom(slog.LevelWarn)
	for _, m := range p.lookalikes {
		if p.logsJSON() {
			log.Warn(m.String())
		} else {
			fmt.Fprintf(p.stderr, "server: warning: %s\n", m)
		}
	}
}
