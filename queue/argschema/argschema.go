// Package argschema describes the arguments of tasks as JSON Schema (draft 2020-12), from
// the Go types that queue decodes them into. It is separate from package queue, so that
// only programs that show schemas link what makes them.
//
// A schema accepts what queue accepts as arguments of the type, with three exceptions that
// are there for the reader: null is described only where Go has a null to write (a
// pointer, a slice, a map, an interface), although encoding/json ignores one anywhere;
// bytes are base64, although an array of numbers is read too; and what the tag jsonschema
// of a field restricts, as in
//
//	Plan string `json:"plan" jsonschema:"enum=free,enum=team,description=What the account pays for"`
//
// is described and not enforced when a task is enqueued. The tags are those of
// [github.com/invopop/jsonschema], and so is the method JSONSchema, with which a type
// describes itself. Names of members are matched without regard to case, and unknown
// members are ignored, so no schema forbids further members.
//
// A member with the option string in its tag (json:",string") is a string whose content is
// JSON, which contentSchema describes.
//
// A member is required only if its tag says so (jsonschema:"required"), because queue
// accepts arguments without any member. The keyword x-optional marks those that Go leaves
// out when they are empty (omitempty, omitzero).
package argschema

import (
	"encoding/json"
	"reflect"
	"sync"

	"github.com/invopop/jsonschema"
)

// Optional is the keyword of members that Go leaves out when they are empty.
const Optional = "x-optional"

// made are the schemas that were asked for, by type.
var made sync.Map // reflect.Type → *jsonschema.Schema

// Of returns the schema of a type, which stands alone: types that it refers to are in its
// $defs. It is made when it is first asked for, and must not be changed. A nil type has
// the schema that accepts everything.
func Of(t reflect.Type) *jsonschema.Schema {
	if t == nil {
		return &jsonschema.Schema{}
	}
	if known, ok := made.Load(t); ok {
		return known.(*jsonschema.Schema)
	}
	set := NewSet("#/$defs/")
	root := set.expanded(t)
	if len(set.Definitions) > 0 {
		root.Definitions = set.Definitions
	}
	known, _ := made.LoadOrStore(t, root)
	return known.(*jsonschema.Schema)
}

// Text returns the schema of a type as compact JSON.
func Text(t reflect.Type) (json.RawMessage, error) { return json.Marshal(Of(t)) }

// A Set makes schemas that share their definitions, for a document that has several. It is
// not safe for concurrent use.
type Set struct {
	// Definitions are the types that the schemas of the set refer to, by the names that
	// follow the prefix of the references.
	Definitions jsonschema.Definitions
	prefix      string
	names       map[reflect.Type]string
}

// NewSet returns an empty set whose references begin with prefix, such as
// #/components/schemas/.
func NewSet(prefix string) *Set {
	return &Set{Definitions: make(jsonschema.Definitions), prefix: prefix, names: make(map[reflect.Type]string)}
}

// Of returns the schema of a type, which may refer to Definitions.
func (s *Set) Of(t reflect.Type) *jsonschema.Schema { return s.value(t) }
