package server

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/claimcheck-go/claimcheck/server/internal/config"
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
	parser, err := kong.New(&grammar{}, config.NewSources(nil, nil).Options()...)
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

// tableRows returns the cells of the rows whose first cell begins with code.
func tableRows(section string) [][]string {
	var rows [][]string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `") {
			cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, "\x00"), "|\n"), "|")
			for i, cell := range cells {
				cells[i] = strings.TrimSpace(cell)
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

// codeSpans returns what the pattern finds in each code span of a cell.
func codeSpans(cell, pattern string) []string {
	var found []string
	for _, span := range regexp.MustCompile("`[^`]*`").FindAllString(cell, -1) {
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(span, -1) {
			found = append(found, match[1])
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// The reference's tables have all settings, and name none that does not exist.
func TestEverySettingIsInTheReference(t *testing.T) {
	var documented []string
	for _, row := range tableRows(sectionOf(t, "docs/reference.md", "Settings")) {
		documented = append(documented, codeSpans(row[0], "^`([A-Z_]+)`$")...)
	}
	documented = slices.DeleteFunc(documented, func(name string) bool { return strings.HasPrefix(name, "OTEL_") })
	slices.Sort(documented)
	if built := variablesOf(commandLine(t)); !slices.Equal(documented, built) {
		t.Errorf("documented: %q\nbuilt:      %q", documented, built)
	}
}

// The reference has all commands with all of their flags, each of which is a
// variable, as the page says.
func TestEveryCommandIsInTheReference(t *testing.T) {
	documented, built := map[string][]string{}, map[string][]string{}
	for _, row := range tableRows(sectionOf(t, "docs/reference.md", "Commands")) {
		name := codeSpans(row[0], "^`([a-z]+)")
		if len(row) != 3 || len(name) != 1 {
			t.Errorf("row %q should have a command, what it does, and its flags", row)
			continue
		}
		documented[name[0]] = codeSpans(row[2], "^`--([a-z-]+)")
	}
	for _, command := range commandLine(t).Children {
		if command.Hidden {
			continue
		}
		names := []string{}
		for _, flag := range command.Flags {
			if flag.Name == "help" {
				continue
			}
			names = append(names, flag.Name)
			variable := "CLAIMCHECK_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
			if !slices.Equal(flag.Envs, []string{variable}) {
				t.Errorf("%s --%s: variables %q, should be %s", command.Name, flag.Name, flag.Envs, variable)
			}
		}
		slices.Sort(names)
		built[command.Name] = names
	}
	if !maps.EqualFunc(documented, built, slices.Equal[[]string]) {
		t.Errorf("documented: %q\nbuilt:      %q", documented, built)
	}
}

// The reference has every endpoint of the OpenAPI document with its parameters.
func TestEveryEndpointIsInTheReference(t *testing.T) {
	text, err := os.ReadFile("httpapi/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	for _, row := range tableRows(sectionOf(t, "docs/reference.md", "Endpoints")) {
		for _, endpoint := range codeSpans(row[0], "^`([A-Z]+ /tasks/.*)`$") {
			documented[endpoint] = codeSpans(row[1], "^`([a-z_]+(?:\\.FIELD)?)`$")
		}
	}
	built := map[string][]string{}
	for path, item := range spec.Paths.Map() {
		for method, operation := range item.Operations() {
			built[method+" "+path] = parametersOf(operation)
		}
	}
	for endpoint, names := range built {
		if !slices.Equal(documented[endpoint], names) {
			t.Errorf("%s is documented with %q, takes %q", endpoint, documented[endpoint], names)
		}
		delete(documented, endpoint)
	}
	if len(documented) > 0 {
		t.Errorf("endpoints that do not exist: %q", documented)
	}
}

// parametersOf returns those of the query and of the body, of all methods of a row.
func parametersOf(operation *openapi3.Operation) []string {
	names := []string{}
	for _, parameter := range operation.Parameters {
		if parameter.Value.In == openapi3.ParameterInQuery {
			names = append(names, parameter.Value.Name)
		}
	}
	if operation.RequestBody != nil {
		for name := range operation.RequestBody.Value.Content["application/json"].Schema.Value.Properties {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names) // one may be in the query or in the body
}
