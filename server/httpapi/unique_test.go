package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

func TestUniqueKeys(t *testing.T) {
	a := newAPI(t, nil)
	send := func(more string) reply {
		t.Helper()
		return a.do("POST", "/tasks/enqueue/", `{"task":"t.echo","unique_key":"order-7"`+more+`}`)
	}
	first := send(`,"args":1,"run_after":"2999-01-01T00:00:00Z"`)
	id := first.body["result"].(map[string]any)["id"]
	if _, existed := first.body["existed"]; first.status != http.StatusCreated || existed || first.body["result"].(map[string]any)["unique_key"] != "order-7" {
		t.Fatalf("%d %s", first.status, first.text)
	}
	for more, want := range map[string]int{
		`,"args":2`: http.StatusOK,
		`,"args":3,"unique_for":"kept","on_conflict":"return"`:                                          http.StatusOK,
		`,"args":4,"on_conflict":"replace","priority":5`:                                                http.StatusOK,
		`,"args":5,"on_conflict":"error"`:                                                               http.StatusConflict,
		`,"args":6,"on_conflict":"error","unique_for":"1h","id":"01890a5d-ac96-774b-bcce-b302099a8057"`: http.StatusConflict,
	} {
		answer := send(more)
		if answer.status != want || answer.body["result"].(map[string]any)["id"] != id {
			t.Errorf("%s: %d %s", more, answer.status, answer.text)
		}
		if want == http.StatusOK && answer.body["existed"] != true || want == http.StatusConflict && !strings.Contains(answer.body["error"].(string), "holds it and is READY") {
			t.Errorf("%s: %s", more, answer.text)
		}
	}
	replaced := a.do("GET", "/tasks/result/"+id.(string)+"/", "").body["result"].(map[string]any)
	if replaced["priority"] != 5.0 || replaced["run_after"] != nil {
		t.Errorf("replaced: %v", replaced)
	}
	if ran := a.do("POST", "/tasks/execute/"+id.(string)+"/", ""); ran.status != http.StatusOK || ran.body["result"].(map[string]any)["return_value"] != 4.0 {
		t.Errorf("%d %s", ran.status, ran.text)
	}
	if next := send(``); next.status != http.StatusCreated {
		t.Errorf("after its end: %d %s", next.status, next.text)
	}
	kept := a.do("POST", "/tasks/enqueue/", `{"task":"t.echo","unique_key":"kept","unique_for":"kept"}`).body["result"].(map[string]any)["id"].(string)
	a.do("POST", "/tasks/execute/"+kept+"/", "")
	late := a.do("POST", "/tasks/enqueue/", `{"task":"t.echo","unique_key":"kept","on_conflict":"replace"}`)
	if late.status != http.StatusConflict || late.body["result"].(map[string]any)["status"] != "SUCCESSFUL" || !strings.Contains(late.text, "only a READY task can be replaced") {
		t.Errorf("%d %s", late.status, late.text)
	}
	// With an id as well, the id decides.
	byID := `{"task":"t.echo","id":"` + uuid.NewString() + `","unique_key":"%"}`
	if one := a.do("POST", "/tasks/enqueue/", strings.Replace(byID, "%", "a", 1)); one.status != http.StatusCreated {
		t.Errorf("%d %s", one.status, one.text)
	}
	if two := a.do("POST", "/tasks/enqueue/", strings.Replace(byID, "%", "kept", 1)); two.status != http.StatusOK || two.body["existed"] != true || two.body["result"].(map[string]any)["unique_key"] != "a" {
		t.Errorf("%d %s", two.status, two.text)
	}
}

func TestUniqueKeysThatAreRefused(t *testing.T) {
	a := newAPI(t, nil)
	for more, want := range map[string]string{
		`"unique_key":""`: "unique_key must be 1 to 200 bytes, not 0",
		`"unique_key":"` + strings.Repeat("x", 201) + `"`:        "unique_key must be 1 to 200 bytes, not 201",
		`"unique_key":"` + strings.Repeat("я", 101) + `"`:        "not 202",
		`"unique_key":"\ud800"`:                                  "unique_key must not contain U+0000 or lone surrogates",
		`"unique_key":"a\u0000"`:                                 "unique_key must not contain U+0000 or lone surrogates",
		`"unique_key":7`:                                         "unique_key must be a string",
		`"unique_key":["a"]`:                                     "unique_key must be a string",
		`"unique_for":"kept"`:                                    "unique_for needs unique_key",
		`"on_conflict":"return"`:                                 "on_conflict needs unique_key",
		`"unique_key":"a","unique_for":"ever"`:                   `unique_for must be "unfinished", "kept" or a positive duration such as "1h", not "ever"`,
		`"unique_key":"a","unique_for":"-1h"`:                    "unique_for must be",
		`"unique_key":"a","unique_for":"0s"`:                     "unique_for must be",
		`"unique_key":"a","unique_for":"60"`:                     "unique_for must be",
		`"unique_key":"a","unique_for":""`:                       "unique_for must be",
		`"unique_key":"a","unique_for":3600`:                     "unique_for must be a string",
		`"unique_key":"a","unique_for":"1000000h"`:               "at most 100 years",
		`"unique_key":"a","on_conflict":"ignore"`:                `on_conflict must be "return", "replace" or "error", not "ignore"`,
		`"unique_key":"a","on_conflict":true`:                    "on_conflict must be a string",
		`"unique_key":"a","unique_for":"kept","unique_key":"b"`:  `field "unique_key" is given twice`,
		`"unique_key":"a","uniqueFor":"kept"`:                    `unknown field "uniqueFor"`,
		`"unique_key":null,"unique_for":"kept"`:                  "unique_for needs unique_key",
		`"unique_key":null,"on_conflict":"error","args":{"a":1}`: "on_conflict needs unique_key",
	} {
		answer := a.do("POST", "/tasks/enqueue/", `{"task":"t.echo",`+more+`}`)
		if text, _ := answer.body["error"].(string); answer.status != http.StatusBadRequest || !strings.Contains(text, want) {
			t.Errorf("%.60s: %d %s, want %s", more, answer.status, answer.text, want)
		}
	}
	if p, err := a.store.Promote(t.Context(), 10); err != nil || p.Claimable {
		t.Errorf("something was stored: %+v, %v", p, err)
	}
	for _, none := range []string{`"unique_key":null`, `"unique_key":null,"unique_for":null,"on_conflict":null`} {
		for range 2 {
			if answer := a.do("POST", "/tasks/enqueue/", `{"task":"t.echo",`+none+`}`); answer.status != http.StatusCreated {
				t.Errorf("%s: %d %s", none, answer.status, answer.text)
			}
		}
	}
}

func TestAFailedTaskDoesNotRunAgainWhileItsKeyIsTaken(t *testing.T) {
	a := newAPI(t, nil)
	const body = `{"task":"t.discard","unique_key":"k"}`
	failed := a.enqueue(body)
	a.do("POST", "/tasks/execute/"+failed+"/", "")
	live := a.enqueue(body)
	answer := a.do("POST", "/tasks/execute/"+failed+"/?allow_retry=true", "")
	if reason, _ := answer.body["reason"].(string); answer.status != http.StatusConflict || answer.body["executed"] != false || !strings.Contains(reason, live) {
		t.Errorf("%d %s", answer.status, answer.text)
	}
	if row, err := a.client.Get(t.Context(), uuid.MustParse(failed)); err != nil || row.Status != queue.StatusFailed || row.Attempts != 1 {
		t.Errorf("%+v, %v", row, err)
	}
	a.do("POST", "/tasks/cancel/"+live+"/", "")
	if answer := a.do("POST", "/tasks/execute/"+failed+"/?allow_retry=true", ""); answer.status != http.StatusOK || answer.body["executed"] != true {
		t.Errorf("after its end: %d %s", answer.status, answer.text)
	}
}

func TestAFullQueueAnswersRepeats(t *testing.T) {
	a := newAPI(t, func(_ *httpapi.Config, q *queue.Config) { q.MaxBacklog = map[string]int{"": 1} })
	id := uuid.NewString()
	enqueue := func(what string, status int, body string) {
		t.Helper()
		if answer := a.do("POST", "/tasks/enqueue/", `{"task":"t.echo",`+body+`}`); answer.status != status {
			t.Errorf("%s: %d %s", what, answer.status, answer.text)
		}
	}
	enqueue("the first", 201, `"id":"`+id+`","unique_key":"k"`)
	enqueue("its ID", 200, `"id":"`+id+`","unique_key":"k"`)
	enqueue("its ID, other arguments", 409, `"id":"`+id+`","args":2`)
	enqueue("its key", 200, `"unique_key":"k"`)
	enqueue("its key, replaced", 200, `"unique_key":"k","args":3,"on_conflict":"replace"`)
	enqueue("its key, refused", 409, `"unique_key":"k","on_conflict":"error"`)
	enqueue("another key", 429, `"unique_key":"l"`)
	enqueue("no key", 429, `"args":1`)
}
