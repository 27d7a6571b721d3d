package argschema_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	invopop "github.com/invopop/jsonschema"

	"github.com/claimcheck-go/claimcheck/queue/argschema"
)

type order struct {
	ID      int64      `json:"id" jsonschema:"required,minimum=1,title=Order,description=Its number\\, as on the bill"`
	Plan    string     `json:"plan" jsonschema:"enum=free,enum=team"`
	Trial   *string    `json:"trial,omitempty" jsonschema:"enum=long,enum=short"`
	Retries int8       `json:"retries" jsonschema:"maximum=5,default=3"`
	Tags    []string   `json:"tags" jsonschema:"minItems=1,enum=a,enum=b"`
	Until   *time.Time `json:"until,omitempty" jsonschema_description:"Empty: for ever"`
	Ship    *address   `json:"ship" jsonschema:"description=Where to"`
	Secret  string     `json:"secret" jsonschema:"-"`
	Extra   any        `json:"extra,omitempty" jsonschema_extras:"x-order=last"`
}

type address struct {
	City string `json:"city"`
	Of   *order `json:"of,omitempty"`
}

// What is written of a type: only what its tags say is required or restricted, nulls where
// Go has them, and types by their names.
func TestSchemaOfAType(t *testing.T) {
	const want = `{
	"type": "object",
	"properties": {
		"id": {"type": "integer", "minimum": 1, "title": "Order", "description": "Its number, as on the bill"},
		"plan": {"type": "string", "enum": ["free", "team"]},
		"trial": {"type": ["string", "null"], "enum": ["long", "short", null], "x-optional": true},
		"retries": {"type": "integer", "minimum": -128, "maximum": 5, "default": 3},
		"tags": {"type": ["array", "null"], "minItems": 1, "items": {"type": "string", "enum": ["a", "b"]}},
		"until": {"type": ["string", "null"], "format": "date-time", "description": "Empty: for ever", "x-optional": true},
		"ship": {"anyOf": [{"$ref": "#/$defs/address"}, {"type": "null"}], "description": "Where to"},
		"extra": {"x-optional": true, "x-order": "last"}
	},
	"required": ["id"],
	"$defs": {
		"address": {
			"type": "object",
			"properties": {
				"city": {"type": "string"},
				"of": {"anyOf": [{"$ref": "#/$defs/order"}, {"type": "null"}], "x-optional": true}
			}
		},
		"order": "as above"
	}
}`
	text, err := argschema.Text(reflect.TypeFor[order]())
	if err != nil {
		t.Fatal(err)
	}
	var got, wanted map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	inner := got["$defs"].(map[string]any)["order"].(map[string]any)
	if diff := cmp.Diff(wanted["properties"], inner["properties"]); diff != "" {
		t.Errorf("the type within itself (-want +got):\n%s", diff)
	}
	got["$defs"].(map[string]any)["order"] = "as above"
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if strings.Index(string(text), `"plan"`) > strings.Index(string(text), `"trial"`) {
		t.Errorf("the members are not in the order of the fields: %s", text)
	}
}

func TestTypesOfOneNameHaveOneDefinitionEach(t *testing.T) {
	type address struct{ Street string } // another than the package's
	type both struct {
		Here  *address
		There order
	}
	set := argschema.NewSet("#/components/schemas/")
	text, err := json.Marshal(set.Of(reflect.TypeFor[both]()))
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != `{"$ref":"#/components/schemas/both"}` {
		t.Errorf("%s", text)
	}
	for name, member := range map[string]string{"both": "Here", "address": "Street", "address2": "city", "order": "id"} {
		definition := set.Definitions[name]
		if definition == nil {
			t.Fatalf("no definition %s in %v", name, set.Definitions)
		}
		if _, ok := definition.Properties.Get(member); !ok {
			t.Errorf("%s has no %s", name, member)
		}
	}
}

// broken panics when it is to describe itself.
type broken struct{ Name string }

func (b *broken) JSONSchema() *invopop.Schema { panic("a schema that cannot be made") }

func TestASchemaIsMadeOnce(t *testing.T) {
	first, second := argschema.Of(reflect.TypeFor[order]()), argschema.Of(reflect.TypeFor[order]())
	if first != second {
		t.Error("made twice")
	}
	if text, err := argschema.Text(nil); err != nil || string(text) != "true" {
		t.Errorf("without a type: %s, %v", text, err)
	}
	if text, err := argschema.Text(reflect.TypeFor[broken]()); err != nil || string(text) != "true" {
		t.Errorf("%s, %v", text, err)
	}
}

// A member that is read from a string of JSON is described with the schema of its content, to
// which its tags belong.
func TestSchemaOfMembersInStrings(t *testing.T) {
	type quoted struct {
		ID   int     `json:"id,string" jsonschema:"minimum=1,title=Order,description=Its number"`
		Plan *string `json:"plan,string,omitempty" jsonschema:"enum=free,enum=team"`
	}
	const want = `{
	"type": "object",
	"properties": {
		"id": {"type": "string", "contentMediaType": "application/json", "contentSchema": {"type": "integer", "minimum": 1}, "title": "Order", "description": "Its number"},
		"plan": {"type": ["string", "null"], "contentMediaType": "application/json", "contentSchema": {"type": "string", "enum": ["free", "team"]}, "x-optional": true}
	}
}`
	text, err := argschema.Text(reflect.TypeFor[quoted]())
	if err != nil {
		t.Fatal(err)
	}
	var got, wanted any
	if err := errors.Join(json.Unmarshal(text, &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
