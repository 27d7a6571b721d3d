package server

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// sectionOf is a section of a page of the repository.
func sectionOf(t *testing.T, path, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../" + path)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", path, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

func commandLine(t *testing.T) *kong.Node {
	t.Helper()
	parser, err := kong.New(&grammar{}, kong.DefaultEnvars("CLAIMCHECK"), kong.ExplicitGroups(settingGroups))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model.Node
}

// variablesOf are those of a node's own flags, without --help.
func variablesOf(node *kong.Node) []string {
	var names []string
	for _, flag := range node.Flags {
		if flag.Name != "help" {
			names = append(names, flag.Envs...)
		}
	}
	return slices.Sorted(slices.Values(names))
}

// The README's table has all settings, and names none that does not exist.
func TestEverySettingIsInTheReadme(t *testing.T) {
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[A-Z].*?) \\|").FindAllStringSubmatch(sectionOf(t, "README.md", "Settings"), -1) {
		for _, name := range regexp.MustCompile("`([A-Z_]+)`").FindAllStringSubmatch(row[1], -1) {
			documented = append(documented, name[1])
		}
	}
	// Two stand in the row of the setting that they belong to.
	for _, name := range regexp.MustCompile("`(CLOUD_SQL_[A-Z_]+)=true`").FindAllStringSubmatch(sectionOf(t, "README.md", "Settings"), -1) {
		documented = append(documented, name[1])
	}
	documented = slices.DeleteFunc(documented, func(name string) bool { return strings.HasPrefix(name, "OTEL_") })
	slices.Sort(documented)
	if built := variablesOf(commandLine(t)); !slices.Equal(documented, built) {
		t.Errorf("documented: %q\nbuilt:      %q", documented, built)
	}
}

// So has the table of the commands' flags.
func TestEveryFlagIsDocumentedAsAVariable(t *testing.T) {
	documented, built := map[string][]string{}, map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\| (.*) \\|$").FindAllStringSubmatch(sectionOf(t, "docs/operations.md", "Flags as variables"), -1) {
		for _, name := range regexp.MustCompile("`(CLAIMCHECK_[A-Z_]+)`").FindAllStringSubmatch(row[2], -1) {
			documented[row[1]] = append(documented[row[1]], name[1])
		}
		slices.Sort(documented[row[1]])
	}
	for _, command := range commandLine(t).Children {
		if names := variablesOf(command); len(names) > 0 {
			built[command.Name] = names
		}
	}
	if !maps.EqualFunc(documented, built, slices.Equal[[]string]) {
		t.Errorf("documented: %q\nbuilt:      %q", documented, built)
	}
}
