package queue

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanTextIsStorableAndCutAtACharacter(t *testing.T) {
	for in, want := range map[string]string{"plain": "plain", "a\x00b": "a\uFFFDb", "a\xffb": "a\uFFFDb"} {
		if got := cleanText(in, 100); got != want {
			t.Errorf("cleanText(%q) = %q, want %q", in, got, want)
		}
	}
	got := cleanText(strings.Repeat("ä", 100), 50)
	if len(got) > 50 || !utf8.ValidString(got) || !strings.HasSuffix(got, "(cut)") {
		t.Errorf("cut to %d bytes: %q", len(got), got)
	}
}

func TestSameRequestIsTheSameTaskAndArguments(t *testing.T) {
	row := func(task, args string) *Row { return &Row{Task: task, Args: []byte(args)} }
	base := row("a", `{"x":1,"y":[2,3]}`)
	if !SameRequest(base, row("a", ` {"y":[2, 3],"x":1} `)) {
		t.Error("other spelling of the same arguments")
	}
	if SameRequest(base, row("b", `{"x":1,"y":[2,3]}`)) || SameRequest(base, row("a", `null`)) {
		t.Error("another task, or other arguments, are another request")
	}
}

func TestCheckJSONIsErrInvalid(t *testing.T) {
	if err := CheckJSON("args", []byte(`{"a":"\u0000"}`)); !errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), "args.a contains U+0000") {
		t.Errorf("got %v", err)
	}
	if err := CheckJSON("args", []byte(`{"a":1}`)); err != nil {
		t.Error(err)
	}
}
