package main

import "testing"

// Only what measures everything in full may write the file that documents are
// made from.
func TestPartsDoNotOverwriteTheResults(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "results.json"},
		{[]string{"-runs", "5", "-seconds", "3"}, "results.json"},
		{[]string{"-quick"}, "results-part.json"},
		{[]string{"-runs", "1"}, "results-part.json"},
		{[]string{"-seconds", "0.5"}, "results-part.json"},
		{[]string{"-scale", "0.1"}, "results-part.json"},
		{[]string{"-scenarios", "purge"}, "results-part.json"},
		{[]string{"-systems", "river"}, "results-part.json"},
		{[]string{"-quick", "-out", "mine.json"}, "mine.json"},
	} {
		if o, err := parse(test.args); err != nil || o.out != test.want {
			t.Errorf("%v: %s, %v, want %s", test.args, o.out, err, test.want)
		}
	}
	if _, err := parse([]string{"-runs", "0"}); err == nil {
		t.Error("no runs were accepted")
	}
}
