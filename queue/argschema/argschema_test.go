package argschema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	invopop "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/claimcheck-go/claimcheck/queue/argschema"
)

// Types that encoding/json does not take for what their kinds are.
type (
	level  int    // has MarshalText and UnmarshalText
	money  int64  // has MarshalJSON and UnmarshalJSON
	code   string // has UnmarshalText alone
	colour string // describes itself

	base struct {
		ID    int    `json:"id"`
		Note  string `json:"note,omitempty"`
		Shade string // hidden by that of everything
	}
	Promoted struct{ Inner, Other *int }
	tree     struct {
		Name     string           `json:"name"`
		Children []*tree          `json:"children"`
		Parent   *tree            `json:"parent,omitempty"`
		ByName   map[string]tree  `json:"by_name,omitzero"`
		Twice    *[]map[int]*tree `json:"twice"`
	}
	page[T any] struct {
		Items []T `json:"items"`
		Next  *T  `json:"next,omitempty"`
	}
	everything struct {
		base
		*Promoted
		Named    base `json:"named"`
		Text     string
		Flag     bool
		Small    int8
		Large    uint64
		Real     float64
		At       time.Time
		Ends     *time.Time `json:"ends,omitempty"`
		Wait     time.Duration
		Raw      json.RawMessage `json:"raw"`
		Number   json.Number
		ID       uuid.UUID
		Address  netip.Addr
		Big      *big.Int
		Level    level
		Levels   map[level]bool
		Cost     money
		Costs    []money
		Code     code
		Colour   colour
		Bytes    []byte
		Four     [4]int16
		Any      any
		Strings  []string            `json:"strings,omitempty"`
		Deep     map[string][]*int32 `json:"deep"`
		ByNumber map[int64]string
		ByUint   map[uint8]string
		Quoted   int    `json:"quoted,string"`
		QuotedP  *bool  `json:",string,omitempty"`
		QuotedT  string `json:",string"`
		Gone     string `json:"-"`
		Dash     string `json:"-,"` //nolint:staticcheck // as written
		Shade    int
	}
)

func (l level) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "level-%d", int(l)), nil }
func (l *level) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "level-%d", (*int)(l))
	return err
}
func (m money) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `{"cents":%d}`, int64(m)), nil }
func (m *money) UnmarshalJSON(data []byte) error {
	var v struct{ Cents int64 }
	err := json.Unmarshal(data, &v)
	*m = money(v.Cents)
	return err
}
func (c *code) UnmarshalText(text []byte) error { *c = code(text); return nil }
func (colour) JSONSchema() *invopop.Schema {
	return &invopop.Schema{Type: "string", Description: "a colour"}
}

// described are types with arguments of each kind.
var described = []reflect.Type{
	reflect.TypeFor[everything](), reflect.TypeFor[*everything](), reflect.TypeFor[tree](), reflect.TypeFor[page[tree]](), reflect.TypeFor[page[base]](),
	reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[[]string](), reflect.TypeFor[map[string]base](), reflect.TypeFor[any](),
	reflect.TypeFor[json.RawMessage](), reflect.TypeFor[time.Time](), reflect.TypeFor[struct{}](), reflect.TypeFor[money](), reflect.TypeFor[level](),
}

// compiled is the schema of a type, read by another implementation of JSON Schema.
func compiled(t testing.TB, typ reflect.Type) *jsonschema.Schema {
	t.Helper()
	text, err := argschema.Text(typ)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("args.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("args.json")
	if err != nil {
		t.Fatalf("%s: %v\n%s", typ, err, text)
	}
	return schema
}

func accepts(t *rapid.T, schema *jsonschema.Schema, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(value)
}

func TestASchemaAcceptsWhatIsDecoded(t *testing.T) {
	for _, typ := range described {
		schema := compiled(t, typ)
		rapid.Check(t, func(t *rapid.T) {
			value := reflect.New(typ)
			fill(t, value.Elem(), 4)
			text, err := json.Marshal(value.Interface())
			if err != nil {
				t.Fatalf("%s: %v", typ, err)
			}
			for _, text := range [][]byte{text, altered(t, text)} {
				if json.Unmarshal(text, reflect.New(typ).Interface()) != nil {
					continue
				}
				if err := accepts(t, schema, text); err != nil {
					t.Fatalf("%s is decoded from %s, but its schema refuses that: %v", typ, text, err)
				}
			}
		})
	}
}

// fill makes up a value, with at most depth levels below it.
func fill(t *rapid.T, v reflect.Value, depth int) {
	switch into := v.Addr().Interface().(type) {
	case *time.Time:
		*into = time.Unix(rapid.Int64Range(-1e10, 1e11).Draw(t, "time"), 0).UTC()
		return
	case *json.RawMessage:
		*into = json.RawMessage(rapid.SampledFrom([]string{`null`, `1`, `"x"`, `{"a":[]}`}).Draw(t, "raw"))
		return
	case *json.Number:
		*into = json.Number(rapid.SampledFrom([]string{"0", "-1.5e7"}).Draw(t, "number"))
		return
	case *big.Int:
		into.SetInt64(rapid.Int64().Draw(t, "big"))
		return
	case *netip.Addr:
		*into = netip.AddrFrom4([4]byte{10, 0, 0, 1})
		return
	case *any:
		*into = rapid.SampledFrom([]any{nil, 1.5, "x", true, []any{}, map[string]any{"a": nil}}).Draw(t, "any")
		return
	}
	few := rapid.IntRange(0, 2)
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.SampledFrom([]int64{0, 1, -1, -1 << (v.Type().Bits() - 1), 1<<(v.Type().Bits()-1) - 1}).Draw(t, "int"))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.SampledFrom([]uint64{0, 1, 1<<v.Type().Bits() - 1}).Draw(t, "uint"))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(rapid.Float64Range(-1e30, 1e30).Draw(t, "float"))
	case reflect.String:
		v.SetString(rapid.StringN(0, 4, -1).Draw(t, "string"))
	case reflect.Pointer:
		if depth > 0 && rapid.Bool().Draw(t, "there") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), depth-1)
		}
	case reflect.Slice:
		if n := few.Draw(t, "length"); depth > 0 && rapid.Bool().Draw(t, "there") {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(t, v.Index(i), depth-1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), depth-1)
		}
	case reflect.Map:
		if n := few.Draw(t, "length"); depth > 0 && rapid.Bool().Draw(t, "there") {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(t, key, depth-1)
				fill(t, item, depth-1)
				v.SetMapIndex(key, item)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(t, v.Field(i), depth-1)
			} else if f := v.Type().Field(i); f.Anonymous && f.Type.Kind() == reflect.Struct { // its fields can be set
				for j := range f.Type.NumField() {
					fill(t, v.Field(i).Field(j), depth-1)
				}
			}
		}
	}
}

// altered changes a text as other writers of JSON may: members that are missing, unknown
// or in other letters, and values of another kind, but no null and no array for bytes.
func altered(t *rapid.T, text []byte) []byte {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	changed, err := json.Marshal(alter(t, "", v))
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func alter(t *rapid.T, name string, v any) any {
	what := rapid.IntRange(0, 30).Draw(t, "what")
	if others := []any{"", "12", "level-3", json.Number("0"), json.Number("-7"), json.Number("1.5"), true, map[string]any{}, map[string]any{"x": "y"}, []any{}, []any{json.Number("1")}}; what < len(others) {
		if _, list := others[what].([]any); list && name == "Bytes" {
			return v
		}
		return others[what]
	}
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = alter(t, "", v[i])
		}
	case map[string]any:
		changed := map[string]any{}
		for key, value := range v {
			switch rapid.IntRange(0, 9).Draw(t, "member") {
			case 0: // gone
			case 1:
				changed[strings.ToUpper(key)] = value
			case 2:
				changed["unknown "+key] = value
			default:
				changed[key] = alter(t, key, value)
			}
		}
		return changed
	}
	return v
}
