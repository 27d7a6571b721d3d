package argform

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue/argschema"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

type part struct {
	Price float64 `json:"price"`
	Note  *string `json:"note,omitempty"`
}

type args struct {
	ID     json.Number       `json:"id"`
	Name   string            `json:"name"`
	Short  string            `json:"short,omitempty" jsonschema:"maxLength=3"`
	Nick   *string           `json:"nick"`
	Age    int8              `json:"age"`
	Limit  *int              `json:"limit,omitempty"`
	Plan   string            `json:"plan,omitempty" jsonschema:"enum=free,enum=team"`
	Level  *int              `json:"level" jsonschema:"enum=1,enum=2"`
	Ready  bool              `json:"ready"`
	Maybe  *bool             `json:"maybe"`
	At     time.Time         `json:"at"`
	Until  *time.Time        `json:"until,omitempty"`
	Part   part              `json:"part"`
	Other  *part             `json:"other"`
	Parts  []part            `json:"parts"`
	Tags   []string          `json:"tags,omitempty"`
	Rates  map[string]int    `json:"rates"`
	ByID   map[int64]*part   `json:"by_id,omitempty"`
	Deep   [][]bool          `json:"deep"`
	Any    any               `json:"any"`
	Raw    json.RawMessage   `json:"raw,omitempty"`
	Parent *args             `json:"parent,omitempty"`
	Odd    map[string]string `json:"a/b~c.d"`
}

func formOf(t reflect.Type) *Form { return New(argschema.Of(t), lang.English()) }

// sent is what a browser sends of a form.
func sent(f *Form) url.Values {
	values := url.Values{}
	var walk func(*Field)
	walk = func(field *Field) {
		values.Set(field.EmptyName(), field.Empty)
		if field.Keyed {
			values.Set(field.KeyName(), field.Key)
		}
		switch field.Kind {
		case Object:
			if field.Present {
				values.Set(field.PresentName(), "1")
			}
			values.Set(field.RestName(), field.Rest)
		case List, Map:
			values.Set(field.CountName(), strconv.Itoa(len(field.Parts)))
		case Boolean, Choice:
			values.Del(field.EmptyName())
			if !field.Box() || field.Text == "true" {
				values.Set(field.Name, field.Text)
			}
			if field.Text == "" && !field.Box() {
				values.Set(field.Name, Meaning+field.Empty)
			}
		default:
			values.Set(field.Name, strings.ReplaceAll(field.Text, "\n", "\r\n"))
		}
		for _, part := range field.Parts {
			walk(part)
		}
	}
	walk(f.Root)
	return values
}

// again is the form as it is after a browser has sent it.
func again(t *testing.T, f *Form, of reflect.Type) *Form {
	t.Helper()
	next := formOf(of)
	next.Read(sent(f))
	return next
}

func TestAFormKeepsArguments(t *testing.T) {
	for _, text := range []string{
		`{"id":12345678901234567890,"name":"a\nb","short":"x","nick":null,"age":-3,"limit":5,"plan":"team","level":2,"ready":true,"maybe":false,
			"at":"2026-01-31T15:04:05.123456789+02:00","part":{"price":1.50,"note":""},"other":{"price":-1e3},"parts":[{"price":1},{"price":2,"note":"\u00e9<"}],
			"tags":["","b"],"rates":{"a b":1,"":2},"by_id":{"-7":{"price":0},"8":null},"deep":[[true,false],[],null],"any":{"x":[1,null]},"raw":[],
			"parent":{"id":1,"name":"","nick":"","age":1,"level":null,"ready":false,"maybe":null,"at":"2026-01-31T15:04:05Z","part":{"price":0},"other":null,
				"parts":null,"rates":null,"deep":[],"any":null,"a/b~c.d":{}},"a/b~c.d":{"k":"v"}}`,
		`{"id":1,"name":"","nick":"","age":0,"level":null,"ready":false,"maybe":true,"at":"2026-01-31T15:04:05Z","part":{"price":0,"note":null},"other":null,
			"parts":[],"tags":[],"rates":{},"deep":null,"any":"x","a/b~c.d":null,"unknown":{"a":1},"more":2}`,
	} {
		f := formOf(reflect.TypeFor[args]())
		if !f.Fill(json.RawMessage(text)) {
			t.Fatalf("does not fit: %s", text)
		}
		f = again(t, f, reflect.TypeFor[args]())
		got := f.Args()
		if f.Wrong {
			t.Fatalf("wrong: %s", problems(f))
		}
		var a, b any
		if json.Unmarshal(got, &a) != nil || json.Unmarshal([]byte(text), &b) != nil || !reflect.DeepEqual(a, b) || strings.Contains(text, "12345678901234567890") != strings.Contains(string(got), "12345678901234567890") {
			t.Errorf("got %s\nof  %s", got, text)
		}
	}
}

// problems are what is wrong, by the names of the fields.
func problems(f *Form) (all []string) {
	var walk func(*Field)
	walk = func(field *Field) {
		for _, problem := range []string{field.Wrong, field.KeyWrong} {
			if problem != "" {
				all = append(all, field.Name+": "+problem)
			}
		}
		for _, part := range field.Parts {
			walk(part)
		}
	}
	walk(f.Root)
	return all
}

func TestAnEmptyFormIsAZeroValue(t *testing.T) {
	f := again(t, formOf(reflect.TypeFor[args]()), reflect.TypeFor[args]())
	got := f.Args()
	const want = `{"name":"","nick":null,"level":null,"ready":false,"maybe":null,"part":{},"other":null,"parts":[],"rates":{},"deep":[],"a/b~c.d":{}}`
	if f.Wrong || string(got) != want {
		t.Errorf("%s %v, want %s", got, problems(f), want)
	}
}

func TestWhatAFormCannotShowIsEditedAsJSON(t *testing.T) {
	for _, text := range []string{
		`[]`, `{"name":null}`, `{"name":1}`, `{"name":"a\rb"}`, `{"age":"1"}`, `{"plan":"other"}`, `{"level":3}`, `{"short":""}`, `{"parts":{}}`, `{"a":1,"a":2}`,
		`{"deep":[[` + strings.Repeat("true,", MaxFields) + `true]]}`,
	} {
		if formOf(reflect.TypeFor[args]()).Fill(json.RawMessage(text)) {
			t.Errorf("%.60s fits", text)
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[any](), reflect.TypeFor[json.RawMessage]()} {
		if formOf(typ) != nil {
			t.Errorf("%s has a form", typ)
		}
	}
}

func TestProblemsAreAtTheirFields(t *testing.T) {
	f := formOf(reflect.TypeFor[args]())
	for _, edit := range []string{"add:args/parts", "add:args/rates", "add:args/rates", "add:args/by_id", "open:args/other", "add:args/deep", "add:args/deep/0"} {
		if f = again(t, f, reflect.TypeFor[args]()); !f.Edit(edit) {
			t.Fatalf("%s is no edit", edit)
		}
	}
	values := sent(f)
	for name, value := range map[string]string{
		"args/id": "1x", "args/short": "long", "args/age": "128", "args/limit": "1.5", "args/plan": `"none"`, "args/at": "soon", "args/parts/0/price": "",
		"args/rates/0": "1", "args/rates/1": "", "args/rates/0/~key": "a", "args/rates/1/~key": "a", "args/by_id/0/~key": "x", "args/any": "{", "args/~rest": `{"name":1}`,
		"args/other/price": "--1",
	} {
		values.Set(name, value)
	}
	f = formOf(reflect.TypeFor[args]())
	f.Read(values)
	f.Args()
	got := strings.Join(problems(f), "\n")
	for _, want := range []string{
		"args/id: Enter a number", "args/short: Use at most 3 characters.", "args/age: This must be at most 127.", "args/limit: Enter a whole number.", "args/plan: Choose one", "args/at: Enter a time in UTC",
		"args/rates/1: This is required.", "args/rates/1: Another value has this key.", "args/by_id/0: Enter a whole number.", "args/any: This is not JSON", `args: Other members have "name"`,
		"args/other/price: Enter a number",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := len(problems(f)); n != 12 {
		t.Errorf("%d problems:\n%s", n, got)
	}
}

func TestEdits(t *testing.T) {
	typ := reflect.TypeFor[args]()
	f := formOf(typ)
	if !f.Fill(json.RawMessage(`{"parts":[{"price":1},{"price":2},{"price":3}],"other":{"price":4},"by_id":{"1":null}}`)) {
		t.Fatal("does not fit")
	}
	for _, edit := range []string{"drop:args/parts/1", "add:args/parts", "close:args/other", "open:args/by_id/0", "open:args/parent", "drop:args/parts/0", "add:args/parent/tags"} {
		if f = again(t, f, typ); !f.Edit(edit) {
			t.Errorf("%s is no edit", edit)
		}
	}
	f = again(t, f, typ)
	got := string(f.Args())
	for _, want := range []string{`"parts":[{"price":3},{}]`, `"other":null`, `"by_id":{"1":{}}`, `"parent":{`, `"tags":[""]`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	for _, edit := range []string{"", "add:", "add:args", "drop:args", "drop:args/parts", "close:args/part", "open:args/name", "drop:args/parts/9", "other:args/parts"} {
		if f.Edit(edit) {
			t.Errorf("%s is an edit", edit)
		}
	}
	values := sent(f)
	values.Set("args/parts/~n", "1000000000")
	f = formOf(typ)
	if f.Read(values); !f.Large {
		t.Error("a form with a billion fields is not too large")
	}
}

// quotedArgs have members that encoding/json reads from strings.
type quotedArgs struct {
	N     int      `json:"n,string"`
	F     float64  `json:"f,string,omitempty" jsonschema:"minimum=0.5,description=a share"`
	B     bool     `json:"b,string"`
	P     *bool    `json:"p,string"`
	S     string   `json:"s,string"`
	Plan  string   `json:"plan,string,omitempty" jsonschema:"enum=free,enum=team,default=free"`
	Level *int8    `json:"level,string,omitempty" jsonschema:"enum=1,enum=2"`
	Plain []string `json:"plain,string"` //nolint:staticcheck // the option is for simple values
}

func TestMembersInStrings(t *testing.T) {
	typ := reflect.TypeFor[quotedArgs]()
	for text, want := range map[string]string{
		"":                               `{"b":"false","p":null,"s":"\"\"","plan":"\"free\"","plain":[]}`,
		"n=-5 s=a\"b f=0.5":              `{"n":"-5","f":"0.5","b":"false","p":null,"s":"\"a\\\"b\"","plan":"\"free\"","plain":[]}`,
		`b=true p=false plan="team"`:     `{"b":"true","p":"false","s":"\"\"","plan":"\"team\"","plain":[]}`,
		"n=9007199254740993 level=2 s=5": `{"n":"9007199254740993","b":"false","p":null,"s":"\"5\"","plan":"\"free\"","level":"2","plain":[]}`,
	} {
		values := sent(formOf(typ))
		for _, pair := range strings.Fields(text) {
			name, value, _ := strings.Cut(pair, "=")
			values.Set("args/"+name, value)
		}
		f := formOf(typ)
		f.Read(values)
		got := f.Args()
		if f.Wrong || string(got) != want {
			t.Errorf("%s: %s %v, want %s", text, got, problems(f), want)
		}
		var decoded quotedArgs
		if err := json.Unmarshal(got, &decoded); err != nil {
			t.Errorf("%s: %v", got, err)
		}
		f = formOf(typ) // "run like this one"
		if !f.Fill(got) || string(again(t, f, typ).Args()) != want {
			t.Errorf("%s does not fit, or becomes %s", got, f.Args())
		}
	}
	for text, want := range map[string]string{"n=x": "Enter a whole number.", "f=0.1": "This must be at least 0.5.", "plan=other": "Choose one of the options."} {
		values := sent(formOf(typ))
		name, value, _ := strings.Cut(text, "=")
		values.Set("args/"+name, value)
		f := formOf(typ)
		f.Read(values)
		if f.Args(); !f.Wrong || len(problems(f)) != 1 || problems(f)[0] != "args/"+name+": "+want {
			t.Errorf("%s: %v", text, problems(f))
		}
	}
	for _, text := range []string{`{"n":5}`, `{"n":"x"}`, `{"s":"a"}`, `{"b":"yes"}`, `{"n":"\"5\""}`} {
		if formOf(typ).Fill(json.RawMessage(text)) {
			t.Errorf("%s fits", text)
		}
	}
}
