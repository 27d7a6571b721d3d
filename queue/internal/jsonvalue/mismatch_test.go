package jsonvalue

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestMismatchNamesThePlaceAndNoValue(t *testing.T) {
	type inner struct {
		At    time.Time `json:"at"`
		Count int8
	}
	type outer struct {
		inner
		List  []inner          `json:"list"`
		ByKey map[string]inner `json:"by_key"`
		Next  *inner           `json:"next"`
		Quota int              `json:"quota,string"`
	}
	for data, want := range map[string]string{
		`"secret"`:                           "cannot use a JSON string as jsonvalue.outer",
		`{"at":"secret"}`:                    "at: cannot use a JSON string as time.Time",
		`{"count":4711}`:                     "Count: cannot use a JSON number as int8",
		`{"list":[{},{"at":"secret"}]}`:      "list[1].at: cannot use a JSON string as time.Time",
		`{"by_key":{"secret":{"Count":[]}}}`: "by_key[key].Count: cannot use a JSON array as int8",
		`{"next":{"at": true}}`:              "next.at: cannot use a JSON bool as time.Time",
		`{"list":{"secret":1}}`:              "list: cannot use a JSON object as []jsonvalue.inner",
		`{"quota":"secret"}`:                 "cannot use a JSON object as jsonvalue.outer",
	} {
		if _, err := Decode[outer](json.RawMessage(data)); err == nil {
			t.Errorf("%s fits", data)
		}
		if got := Mismatch(json.RawMessage(data), reflect.TypeFor[outer]()); got != want {
			t.Errorf("%s: got %q, want %q", data, got, want)
		}
	}
}
