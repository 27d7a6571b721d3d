package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Misspelt is a variable that is set and looks like a setting, but is none.
type Misspelt struct {
	Name  string
	Meant string // the setting that is likely meant; empty: none is
}

// String says what is wrong, in one line.
func (m Misspelt) String() string {
	if m.Meant == "" {
		return m.Name + " is set, but there is no such setting: --help lists them"
	}
	return fmt.Sprintf("%s is set, but there is no such setting: did you mean %s?", m.Name, m.Meant)
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
func findMisspelt(values Environment, settings, exceptions []string) []Misspelt {
	var found []Misspelt
	for name, value := range values {
		switch {
		case value == "", slices.Contains(settings, name), slices.Contains(exceptions, name), platformName.MatchString(name),
			values["KUBERNETES_SERVICE_HOST"] != "" && serviceLink.MatchString(name),
			values["JENKINS_URL"] != "" && name == "JOB_NAME":
			continue
		}
		if meant, like := likeSetting(strings.ToUpper(name), settings); like {
			found = append(found, Misspelt{name, meant})
		}
	}
	slices.SortFunc(found, func(a, b Misspelt) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// likeSetting reports whether a name looks like a setting's, and which one is
// likely meant.
func likeSetting(name string, settings []string) (meant string, like bool) {
	least := len(name) / 3
	for _, setting := range settings {
		letters := 2
		if min(len(name), len(setting)) < 8 {
			letters = 1
		}
		if difference := len(name) - len(setting); max(difference, -difference) > max(letters, least) {
			continue // the distance is at least that, and computing it slows every start
		}
		distance := levenshtein.ComputeDistance(name, setting)
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

// Misspelt returns the variables of the environment that look like those of the
// program's flags. The exceptions are variables that tasks read by themselves.
func (s *Sources) Misspelt(exceptions ...string) []Misspelt {
	var known []string
	seen := map[string]bool{}
	for _, node := range s.nodes {
		for _, flag := range node.Flags {
			for _, variable := range flag.Envs {
				if !seen[variable] {
					seen[variable] = true
					known = append(known, variable)
				}
			}
		}
	}
	return findMisspelt(s.env, known, exceptions)
}
