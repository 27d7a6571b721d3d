package httpapi_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

type schemaItem struct {
	Price float64     `json:"price"`
	Of    *schemaItem `json:"of,omitempty"`
}

// Error has the name of a component of the document itself.
type Error struct{ Code int }

// orderArgs are arguments with all that a schema has to describe.
type orderArgs struct {
	User  int              `json:"user" jsonschema:"required"`
	Plan  *string          `json:"plan,omitempty" jsonschema:"enum=free,enum=team"`
	Items []schemaItem     `json:"items"`
	Last  *Error           `json:"last"`
	At    time.Time        `json:"at"`
	Owner uuid.UUID        `json:"owner"`
	Rates map[string]int16 `json:"rates,omitempty"`
}

// described31 compiles a component of the document that an API gives out.
func described31(t *testing.T, a *api, component string) (document []byte, schema *jsonschema.Schema) {
	t.Helper()
	text := []byte(a.do("GET", "/tasks/openapi.json", "").text)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("openapi.json", value); err != nil {
		t.Fatal(err)
	}
	if schema, err = c.Compile("openapi.json#/components/schemas/" + component); err != nil {
		t.Fatal(err)
	}
	return text, schema
}

func TestDocumentDescribesTheArgumentsOfTheTasks(t *testing.T) {
	a := newAPI(t, func(_ *httpapi.Config, q *queue.Config) {
		q.Registry = queue.NewRegistry(
			queue.NewTask("shop/order", func(context.Context, orderArgs) (any, error) { return nil, nil }, queue.Alias("shop/buy")),
			queue.NewTask("shop:order", func(context.Context, schemaItem) (any, error) { return nil, nil }),
			queue.Declare[any, any]("t.any"),
		)
	})
	text, enqueue := described31(t, a, "Enqueue")
	loader := openapi3.NewLoader()
	document, err := loader.LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(loader.Context); err != nil {
		t.Fatalf("not valid OpenAPI: %v\n%s", err, text[len(text)-3000:])
	}
	for body, accepted := range map[string]bool{
		`{"task":"shop/order","args":{"user":1,"items":null,"last":null}}`:                                                  true,
		`{"task":"shop/order","args":{"user":1,"plan":"team","items":[{"price":1.5,"of":{"price":2}}],"last":{"Code":-1}}}`: true,
		`{"task":"shop/order","args":null}`:                                                                                 true,
		`{"task":"shop/order"}`:                                                                                             true,
		`{"task":"t.any","args":[1,"x"]}`:                                                                                   true,
		`{"task":"shop/order","args":{"items":[]}}`:                                                                         false, // the tag requires user
		`{"task":"shop/buy","args":{"user":"1"}}`:                                                                           false,
		`{"task":"shop/order","args":{"user":1,"items":[{"price":1,"of":{"price":""}}]}}`:                                   false,
		`{"task":"shop/order","args":{"user":1,"rates":{"a":40000}}}`:                                                       false,
		`{"task":"shop:order","args":{"price":"1"}}`:                                                                        false,
	} {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		if err := enqueue.Validate(value); (err == nil) != accepted {
			t.Errorf("%s: %v, want accepted: %t", body, err, accepted)
		}
		if answer := a.do("POST", "/tasks/enqueue/", body); accepted && answer.status != 201 {
			t.Errorf("%s: %d %s", body, answer.status, answer.text)
		}
	}
	if _, schedule := described31(t, a, "PutSchedule"); schedule.Validate(map[string]any{"task": "shop/buy", "args": true, "spec": "@daily"}) == nil {
		t.Error("a schedule with wrong arguments is as described")
	}
}

func TestDocumentOfAProgramWithoutTasks(t *testing.T) {
	a := newAPI(t, func(_ *httpapi.Config, q *queue.Config) { q.Registry = queue.NewRegistry() })
	if _, enqueue := described31(t, a, "Enqueue"); enqueue.Validate(map[string]any{"task": "x", "args": true}) != nil {
		t.Error("arguments of an unknown task are refused")
	}
}
