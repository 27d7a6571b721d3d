package jsonvalue

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// jsonText draws a well-formed value with what is on both sides of each limit.
func jsonText(t *rapid.T, wraps int) string {
	text := rapid.SampledFrom([]string{
		`null`, `true`, `false`, `0`, `-7`, `1.25`, `1e5`, `1E-5`, `1e308`, `2e308`, `-1e400`, `1e-400`,
		strings.Repeat("9", longestSimpleNumber-1), strings.Repeat("9", longestSimpleNumber+1), `-` + strings.Repeat("9", longestSimpleNumber),
		strings.Repeat("9", 308), strings.Repeat("9", 310), `0.` + strings.Repeat("3", 400),
		`""`, `"e"`, `"9e999"`, `"[{"`, `"]}"`, `"😀"`, `"a\"b"`, `"\\"`, `"\\u0000"`, `"\\\\u0000"`, `"\\\u0000"`, `"\"\u0000"`,
		`"\u0000"`, `"\u0041"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00"`, `"\n\/"`, `[]`, `{}`,
	}).Draw(t, "leaf")
	for range wraps {
		before := rapid.SampledFrom([]string{"", " ", `1,`, `"x",`, `[],`, `"\\",`, "\n0.5 , "}).Draw(t, "before")
		key := rapid.SampledFrom([]string{`a`, ``, `\"`, `\\`, `u`, `\\u0000`, `\u0000`, `\u00e4`, `1e400`}).Draw(t, "key")
		text = rapid.SampledFrom([]string{
			"[" + before + text + "]", "[" + text + " ]", `[` + text + `,{"b":[[]]}]`,
			`{"` + key + `":` + text + "}", `{"x":` + strconv.Itoa(len(text)) + ` , "y":` + text + "}",
		}).Draw(t, "around")
	}
	return text
}

// The short check accepts nothing that the walk refuses, and what Encode has
// written is checked as if it came from anywhere.
func TestSimpleJSONIsWhatTheWalkAccepts(t *testing.T) {
	seen := map[[2]bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		text := jsonText(t, rapid.OneOf(rapid.IntRange(0, 4), rapid.IntRange(MaxDepth-2, MaxDepth+2)).Draw(t, "wraps"))
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s: not JSON", text)
		}
		simple, refusal := isSimple([]byte(text)), walk("args", []byte(text))
		if simple && refusal != nil {
			t.Fatalf("%s: taken for simple, but %v", text, refusal)
		}
		seen[[2]bool{simple, refusal == nil}]++
		encoded, err := Encode("args", json.RawMessage(text))
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{"Check": Check("args", []byte(text)), "CheckEncoded": CheckEncoded("args", encoded)} {
			if (err == nil) != (refusal == nil) || err != nil && err.Error() != refusal.Error() {
				t.Fatalf("%s: %s says %v, the walk %v", text, name, err, refusal)
			}
		}
	})
	if seen[[2]bool{true, true}] == 0 || seen[[2]bool{false, true}] == 0 || seen[[2]bool{false, false}] == 0 {
		t.Errorf("not every case was met: %v", seen)
	}
}

// shouting encodes itself as its own text, which may not be JSON.
type shouting string

func (s shouting) MarshalJSON() ([]byte, error) { return []byte(s), nil }

// CheckEncoded relies on Encode refusing what is not JSON.
func TestEncodeRefusesWhatIsNotJSON(t *testing.T) {
	for _, bad := range []string{"", " ", "{", "1 2", `{"a":}`, "NaN", `"`, "\"\x01\"", `["\x"]`, "01", strings.Repeat("[", 20)} {
		for _, v := range []any{shouting(bad), []any{shouting(bad)}, map[string]any{"a": json.RawMessage(bad)}, struct{ A *shouting }{(*shouting)(&bad)}, json.Number(bad + "x")} {
			if data, err := Encode("args", v); err == nil {
				t.Errorf("%T of %q was encoded as %q: %v", v, bad, data, err)
			}
		}
	}
	for _, v := range []any{json.RawMessage("\"\xff\""), []any{shouting("\"\xc0\"")}} {
		data, err := Encode("args", v)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckEncoded("args", data); err == nil {
			t.Errorf("%q is not UTF-8: %v", data, err)
		}
	}
}

// What programs send is nearly always simple.
func TestUsualArgumentsAreCheckedWithoutAllocations(t *testing.T) {
	data, err := Encode("args", map[string]any{"id": 4711, "mail": "änne@example.com", "html": `<a href="x">&amp;</a>`, "path": `C:\usr`, "note": "two\nlines", "sum": -12.5, "flags": []bool{true, false}, "none": nil})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { err = CheckEncoded("args", data) }); n != 0 || err != nil {
		t.Errorf("%s: %v, with %v allocations", data, err, n)
	}
}
