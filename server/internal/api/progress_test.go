package api

import (
	"math"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestProgressInWords(t *testing.T) {
	for want, p := range map[string]queue.TaskProgress{
		"0 of 3 (0%)":         {Done: 0, Total: 3},
		"1 of 3 (33%)":        {Done: 1, Total: 3},
		"9999 of 10000 (99%)": {Done: 9999, Total: 10000},
		"3 of 3 (100%)":       {Done: 3, Total: 3},
		"4 of 3 (100%)":       {Done: 4, Total: 3},
		"7":                   {Done: 7},
		"0":                   {},
		"9223372036854775806 of 9223372036854775807 (99%)": {Done: math.MaxInt - 1, Total: math.MaxInt},
	} {
		if got := Progress(p); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}
