package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// Whatever a body holds, it is read in full or refused with a 400.
func FuzzParseEnqueue(f *testing.F) {
	for _, seed := range []string{`{"task":"a","args":[1],"priority":3}`, `{"task":"a","task":"b"}`, `{"run_after":"2020-01-01T00:00:00Z"`, `[]`, "{\"\xff\":1}", `{"id":null,"args":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		request, _, err := api.ParseEnqueue(body)
		if err == nil && (request.Task == "" || !json.Valid(body)) {
			t.Errorf("accepted %q as %+v", body, request)
		}
		if err != nil && api.ErrorAnswer(err).Status != http.StatusBadRequest {
			t.Errorf("%q: %v is not a 400", body, err)
		}
	})
}
