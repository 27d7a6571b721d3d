package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

type strictBase struct {
	Tenant string `json:"tenant"`
}

// strictOwn reads whatever it likes.
type strictOwn struct{ Value string }

func (o *strictOwn) UnmarshalJSON(data []byte) error {
	o.Value = string(data)
	return nil
}

type strictUser struct {
	Email   string
	UserID  int64  `json:"user_id"`
	Ignored string `json:"-"`
	hidden  string
}

type strictArgs struct {
	strictBase
	User    *strictUser           `json:"user"`
	List    []strictUser          `json:"list"`
	ByName  map[string]strictUser `json:"by_name"`
	Any     any                   `json:"any"`
	Raw     json.RawMessage       `json:"raw"`
	Own     strictOwn             `json:"own"`
	At      time.Time             `json:"at"`
	Free    map[string]string     `json:"free"`
	Parent  *strictArgs           `json:"parent"`
	private int
}

// What a struct does not have is named with its path and what was probably meant;
// what only a value's own decoding can know is accepted.
func TestUnknownFieldsOfArguments(t *testing.T) {
	t.Parallel()
	took := func(_ context.Context, in strictArgs) (int, error) { return in.private, nil }
	strict := queue.NewTask("strict", took, queue.StrictArgs())
	lenient := queue.NewTask("lenient", took)
	sys := newSystem(t, setup{}, strict, lenient,
		queue.NewTask("nothing", func(context.Context, struct{}) (any, error) { return nil, nil }, queue.StrictArgs()),
		queue.NewTask("anything", func(context.Context, any) (any, error) { return nil, nil }, queue.StrictArgs()))
	for _, tc := range []struct{ args, want string }{
		{`{"tenant":"a","user":{"email":"x","USER_ID":1},"list":[{"user_id":2}],"by_name":{"whoever":{"Email":"y"}}}`, ""},
		{`{"any":{"a":1},"raw":{"b":[{"c":2}]},"own":{"d":1},"at":"2026-01-02T03:04:05Z","free":{"e":"1"}}`, ""},
		{`null`, ""},
		{`{"user":null,"list":null,"parent":{"parent":{"tenant":"deep"}}}`, ""},
		{`{"tennant":"a"}`, "unknown field args.tennant; did you mean tenant?"},
		{`{"user":{"emial":"x"}}`, "unknown field args.user.emial; did you mean Email?"},
		{`{"user":{"userId":1}}`, "unknown field args.user.userId; did you mean user_id?"},
		{`{"user":{"Ignored":"x"}}`, "unknown field args.user.Ignored; accepted: Email, user_id"},
		{`{"user":{"hidden":"x"}}`, "unknown field args.user.hidden; accepted: Email, user_id"},
		{`{"list":[{},{"mail":"x"}]}`, "unknown field args.list[1].mail; did you mean Email?"},
		{`{"by_name":{"ann":{"e-mail":"x"}}}`, "unknown field args.by_name.ann.e-mail; did you mean Email?"},
		{`{"parent":{"parent":{"usr":{}}}}`, "unknown field args.parent.parent.usr; did you mean user?"},
		{`{"private":1,"strictBase":{}}`, "unknown field args.private; accepted: tenant, user, list, by_name, any, raw, own, at, free, parent; unknown field args.strictBase; accepted: tenant"},
		{`{"a\nb":1}`, `unknown field args."a\nb"; accepted: tenant`},
	} {
		_, err := sys.client.Enqueue(t.Context(), "strict", json.RawMessage(tc.args))
		handle, lenientErr := sys.client.Enqueue(t.Context(), "lenient", json.RawMessage(tc.args))
		if lenientErr != nil {
			t.Fatalf("%s: refused without strictness: %v", tc.args, lenientErr)
		}
		if tc.want == "" {
			if err != nil || len(handle.Warnings) != 0 {
				t.Errorf("%s: %v, warnings %q", tc.args, err, handle.Warnings)
			}
			continue
		}
		if !errors.Is(err, queue.ErrInvalid) || !strings.HasPrefix(err.Error(), "args of strict: "+tc.want) {
			t.Errorf("%s: got %v\nwant %s", tc.args, err, tc.want)
		}
		if got := strings.Join(handle.Warnings, "; "); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: warnings %q, want %s", tc.args, got, tc.want)
		}
	}
	if _, err := sys.client.Enqueue(t.Context(), "nothing", map[string]int{"x": 1}); err == nil || !strings.Contains(err.Error(), "unknown field args.x; no fields are accepted here") {
		t.Errorf("arguments of a task without any: %v", err)
	}
	if _, err := sys.client.Enqueue(t.Context(), "anything", map[string]int{"x": 1}); err != nil {
		t.Errorf("a task that takes anything: %v", err)
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`"x%d":1`, i))
	}
	handle, err := sys.client.Enqueue(t.Context(), "lenient", json.RawMessage("{"+strings.Join(many, ",")+"}"))
	if err != nil || len(handle.Warnings) != 5 {
		t.Errorf("a hundred unknown fields: %v, %d warnings", err, len(handle.Warnings))
	}
	if _, err := strict.Enqueue(t.Context(), sys.client, strictArgs{User: &strictUser{Email: "x", hidden: "y"}}); err != nil {
		t.Errorf("typed arguments: %v", err)
	}
	if _, err := sys.client.Enqueue(t.Context(), "lenient", nil, queue.StrictArgs()); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("StrictArgs for one Enqueue: %v", err)
	}
}

// With Config.StrictArgs all tasks are strict; rows that are stored already run.
func TestStrictClientRunsRowsOfALenientOne(t *testing.T) {
	t.Parallel()
	task := queue.NewTask("t", func(_ context.Context, in strictUser) (string, error) { return in.Email, nil })
	lenient := newSystem(t, setup{}, task)
	handle, err := lenient.client.Enqueue(t.Context(), "t", map[string]string{"email": "x", "gone": "y"})
	if err != nil {
		t.Fatal(err)
	}
	strict := newSystem(t, setup{store: lenient.store, client: queue.Config{StrictArgs: true}}, task)
	if _, err := strict.client.Enqueue(t.Context(), "t", map[string]string{"gone": "y"}); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("strict client: %v", err)
	}
	run, err := strict.exec.RunByID(t.Context(), handle.ID, queue.RunOptions{})
	if err != nil || run.Row.Status != queue.StatusSuccessful {
		t.Errorf("stored row: %+v, %v", run, err)
	}
}

type onlyHidden struct{ userID int }

// A type whose values JSON would lose is a mistake that the compiler lets pass.
func TestTypesThatLoseTheirValuesPanic(t *testing.T) {
	t.Parallel()
	type nested struct {
		Items []map[string]*onlyHidden `json:"items"`
	}
	_ = onlyHidden{}.userID
	for want, declare := range map[string]func(){
		"args (queue_test.onlyHidden) has only unexported fields":           func() { queue.Declare[onlyHidden, any]("t") },
		"args (*queue_test.onlyHidden) has only unexported fields":          func() { queue.Declare[*onlyHidden, any]("t") },
		"return value ([]queue_test.onlyHidden) has only unexported fields": func() { queue.Declare[any, []onlyHidden]("t") },
		"args.items (queue_test.nested) has only unexported fields": func() {
			queue.NewTask("t", func(context.Context, nested) (any, error) { return nil, nil })
		},
		"": func() {
			queue.Declare[struct{}, time.Time]("t")
			queue.Declare[strictArgs, json.RawMessage]("t")
			queue.Declare[struct{ _ int }, map[string]any]("t")
			queue.Declare[strictBase, error]("t")
		},
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				got := fmt.Sprint(recover())
				if want == "" && got != "<nil>" || !strings.Contains(got, want) {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			declare()
		})
	}
}

// node contains itself, and a field that JSON does not include.
type node struct {
	Children []*node          `json:"children"`
	ByName   map[string]*node `json:"by_name"`
	Changed  chan int         `json:"-"`
	notify   func()
}

// callback has its own form in JSON.
type callback func()

func (callback) MarshalText() ([]byte, error) { return []byte("callback"), nil }

// coordinate is a key of objects in JSON.
type coordinate struct{ X, Y int }

func (coordinate) MarshalText() ([]byte, error) { return []byte("0,0"), nil }

type embedsFunc struct {
	Later func() error `json:"later"`
}

// A type that JSON cannot store is a mistake too; without the check, only the first
// enqueue, or the end of the first run, would report it.
func TestTypesThatJSONCannotStorePanic(t *testing.T) {
	t.Parallel()
	type deep struct {
		User struct {
			Hooks []map[string]func(int) `json:"hooks"`
		} `json:"user"`
	}
	_ = node{}.notify
	const field = ", which JSON cannot store: use data that JSON can store, such as an ID or a name, or exclude the field with the tag `json:\"-\"`"
	const whole = ", which JSON cannot store: use data that JSON can store, such as an ID or a name"
	for name, c := range map[string]struct {
		declare func()
		want    string
	}{
		"func":           {func() { queue.Declare[func(), any]("t") }, "args has the type func()" + whole},
		"pointer":        {func() { queue.Declare[*chan int, any]("t") }, "args has the type chan int" + whole},
		"field":          {func() { queue.Declare[deep, any]("t") }, "args.user.hooks has the type func(int)" + field},
		"embedded":       {func() { queue.Declare[struct{ embedsFunc }, any]("t") }, "args.later has the type func() error" + field},
		"result":         {func() { queue.Declare[any, []complex64]("t") }, "return value has the type complex64" + whole},
		"result's field": {func() { queue.Declare[any, struct{ Z complex128 }]("t") }, "return value.Z has the type complex128" + field},
		"keys":           {func() { queue.Declare[struct{ On map[bool]int }, any]("t") }, "args.On has the type map[bool]int" + field},
		"NewTask": {func() {
			queue.NewTask("t", func(context.Context, int) (<-chan int, error) { return nil, nil })
		}, "return value has the type <-chan int" + whole},
		"NewTaskFunc": {func() {
			queue.NewTaskFunc("t", func(context.Context, struct{ Done chan<- bool }) error { return nil })
		}, "args.Done has the type chan<- bool" + field},
		"what JSON stores": {func() {
			queue.Declare[node, *node]("t")
			queue.Declare[callback, struct{ Then callback }]("t")
			queue.Declare[map[coordinate]any, map[int]fmt.Stringer]("t")
			queue.Declare[any, error]("t")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			want := "<nil>"
			if c.want != "" {
				want = `queue: task "t": ` + c.want
			}
			defer func() {
				if got := fmt.Sprint(recover()); got != want {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			c.declare()
		})
	}
}
