package deps

import (
	"maps"
	"testing"
)

var some = newModules(`server: go1.26
	path	github.com/claimcheck-go/claimcheck/cmd/server
	mod	github.com/claimcheck-go/claimcheck	(devel)
	dep	google.golang.org/api	v0.1.0	h1:x=
	dep	google.golang.org/api/deeper	v0.1.0	h1:x=
`)

func TestSymbolsBelongToTheLongestModule(t *testing.T) {
	for symbol, want := range map[string]string{
		"google.golang.org/api.F":               "google.golang.org/api",
		"google.golang.org/api/deeper/x.(*T).F": "google.golang.org/api/deeper",
		"google.golang.org/apiary.F":            standard,
		"main.main":                             "github.com/claimcheck-go/claimcheck",
		"net/http.Get":                          standard,
	} {
		if got := some.of(symbol); got != want {
			t.Errorf("%s is of %s, not %s", symbol, got, want)
		}
	}
}

func TestSizesAddUpByModule(t *testing.T) {
	got := some.sizes([]symbol{{"google.golang.org/api.F", 12}, {"type:*google.golang.org/api.T", 5}, {"go:string.*", 7}, {"fmt.Print", 3}})
	if want := map[string]int64{"google.golang.org/api": 17, standard: 3}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTraceIsRead(t *testing.T) {
	got := parseTrace("starting\ninit google.golang.org/api @2.5 ms, 0.42 ms clock, 2048 bytes, 17 allocs\n")
	if len(got) != 1 || got[0] != (initialised{"google.golang.org/api", 0.42, 2}) {
		t.Errorf("got %v", got)
	}
}
