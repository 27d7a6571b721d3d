package httpapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/argschema"
)

// openapiDocument describes the API in OpenAPI 3.1, but for the arguments of the tasks. The
// tests hold every answer they get against it.
//
//go:embed openapi.json
var openapiDocument []byte

// taskArgs is where the document gets the arguments of the tasks: a schema that accepts
// everything.
const taskArgs = `"TaskArgs": {}`

func (h *handler) openapi(w http.ResponseWriter, r *http.Request, _ string) {
	document, err := h.document()
	if err != nil {
		h.fail(w, r, fmt.Errorf("describe the arguments of the tasks: %w", err))
		return
	}
	writeHeader(w, http.StatusOK)
	_, _ = w.Write(document)
}

// describe returns the document with the arguments of the registered tasks.
func describe(tasks []queue.TaskInfo) ([]byte, error) {
	before, after, found := bytes.Cut(openapiDocument, []byte(taskArgs))
	if !found {
		return nil, fmt.Errorf("openapi.json has no %s", taskArgs)
	}
	set := argschema.NewSet("#/components/schemas/args.")
	components := make(map[string]any, len(tasks))
	conditions := make([]condition, 0, len(tasks))
	for _, task := range tasks {
		name := "args-of." + componentName(task.Name)
		for components[name] != nil { // another task's, with an _ where this has a / or a :
			name += "_"
		}
		components[name] = set.Of(task.Args)
		conditions = append(conditions, argsOf(task, "#/components/schemas/"+name))
	}
	for name, schema := range set.Definitions {
		components["args."+name] = schema
	}
	all := map[string]any{"description": "The arguments of each registered task. They may also be null or absent."}
	if len(conditions) > 0 {
		all["allOf"] = conditions
	}
	components["TaskArgs"] = all
	text, err := json.Marshal(components)
	if err != nil {
		return nil, err
	}
	members := bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("{")), []byte("}"))
	return slices.Concat(before, members, after), nil
}

// condition is a schema for some values only.
type condition struct {
	If   any `json:"if"`
	Then any `json:"then"`
}

// argsOf says that a body that names the task has arguments of a schema.
func argsOf(task queue.TaskInfo, reference string) condition {
	type properties map[string]any
	return condition{
		If: map[string]any{
			"properties": properties{"task": map[string]any{"enum": append([]string{task.Name}, task.Aliases...)}},
			"required":   []string{"task"},
		},
		Then: map[string]any{"properties": properties{"args": &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Ref: reference}, {Type: "null"}}}}},
	}
}

// componentName is a task's name as the name of a component, which has no other characters.
func componentName(task string) string { return strings.NewReplacer("/", "_", ":", "_").Replace(task) }
