package jsonvalue

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckAcceptsWhatEveryDatabaseKeeps(t *testing.T) {
	deepest := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	for _, data := range []string{
		`null`, `true`, `false`, `0`, `-1.5e-7`, `""`, `[]`, `{}`, " {\"a\" : [1, 2 ,{\"b\":null}]}\n", deepest,
		`12345678901234567890123`, `1e308`, `1e-400`, `"\ud83d\ude00"`, `"😀"`, `"\\u0000"`, `"\u0001"`, `{"a":1,"a":2}`, `"\"\\\/"`,
	} {
		if err := Check("args", []byte(data)); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
}

func TestCheckRefusesAndNamesThePlace(t *testing.T) {
	tooDeep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	for data, want := range map[string]string{
		``:                             "args must be one JSON value",
		`{`:                            "args must be one JSON value",
		`1 2`:                          "args must be one JSON value",
		`NaN`:                          "args must be one JSON value",
		"\"\xff\"":                     "args must be UTF-8",
		`{"user":{"name":"a\u0000b"}}`: "args.user.name contains U+0000",
		`{"user":{"na\u0000me":1}}`:    "args.user contains U+0000",
		`[1,["\ud800"]]`:               "args[1][0] contains a lone surrogate",
		`["\ud800\u0041"]`:             "args[0] contains a lone surrogate",
		`["\udc00"]`:                   "args[0] contains a lone surrogate",
		`["\ud800\ud800"]`:             "args[0] contains a lone surrogate",
		`{"a":[1,2,{"b":1e400000}]}`:   "args.a[2].b is a number beyond",
		`-` + strings.Repeat("9", 400): "args is a number beyond",
		tooDeep:                        "args is nested deeper than 31 levels",
		`{"a":` + tooDeep + `}`:        "args is nested deeper than 31 levels",
		strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40): "args is nested deeper than 31 levels",
	} {
		err := Check("args", []byte(data))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %s…", data, err, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\ud83d\ude00"]}`, `"\u0000"`, `[[[1e999]]]`, `"\ud800`, "\"\xc0\"", `{"\udc00":0}`, `[1E400,"e",-0.5]`, `"\\\u0000"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if isSimple(data) && json.Valid(data) && walk("args", data) != nil {
			t.Errorf("the short way accepts what the long one refuses: %q", data)
		}
		if Check("args", data) != nil {
			return
		}
		if !utf8.Valid(data) {
			t.Errorf("accepted what is not UTF-8: %q", data)
		}
		if value := tree(data); strings.Contains(flatten(value), "\x00") || strings.Contains(flatten(value), "\uFFFD") && !strings.Contains(string(data), "\uFFFD") && !strings.Contains(strings.ToLower(string(data)), `\ufffd`) {
			t.Errorf("accepted NUL or a lone surrogate: %q", data)
		}
	})
}

// flatten joins all strings in a decoded value.
func flatten(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		var b strings.Builder
		for _, item := range v {
			b.WriteString(flatten(item))
		}
		return b.String()
	case map[string]any:
		var b strings.Builder
		for key, item := range v {
			b.WriteString(key + flatten(item))
		}
		return b.String()
	}
	return ""
}

func TestEqualComparesMeaningNotSpelling(t *testing.T) {
	const base = `{"x":1,"y":[2,3]}`
	for _, same := range []string{base, ` {"y":[2, 3],"x":1} `} {
		if !Equal([]byte(base), []byte(same)) {
			t.Errorf("%s should equal %s", same, base)
		}
	}
	for _, other := range []string{`{"x":1,"y":[3,2]}`, `null`, `{"x":12345678901234567890,"y":[2,3]}`, `{"x":1.0,"y":[2,3]}`, `{`} {
		if Equal([]byte(base), []byte(other)) {
			t.Errorf("%s should not equal %s", other, base)
		}
	}
	if Equal([]byte(`12345678901234567890`), []byte(`12345678901234567891`)) {
		t.Error("big integers that differ in the last digit are not equal")
	}
}
