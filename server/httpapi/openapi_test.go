package httpapi_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/go-cmp/cmp"

	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// described is the document's routes.
var described = sync.OnceValues(func() (routers.Router, error) {
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		return nil, err
	}
	loader := openapi3.NewLoader()
	document, err := loader.LoadFromData(text)
	if err != nil {
		return nil, err
	}
	if err := document.Validate(loader.Context); err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(document)
})

// checkAgainstDocument checks an answer, and a request that was accepted, against
// openapi.json. What the document does not describe must not be answered with
// success.
func checkAgainstDocument(t testing.TB, r *http.Request, body string, w *httptest.ResponseRecorder) {
	t.Helper()
	router, err := described()
	if err != nil {
		t.Fatalf("openapi.json: %v", err)
	}
	path := r.URL.EscapedPath()
	body = strings.Trim(body, " \t\r\n") // a blank one is none
	if !strings.HasSuffix(path, "/") && !strings.HasSuffix(path, ".json") {
		path += "/"
	}
	request := httptest.NewRequest(r.Method, path+"?"+r.URL.RawQuery, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	route, parameters, err := router.FindRoute(request)
	if err != nil {
		if w.Code < 300 && strings.HasPrefix(path, "/tasks/") {
			t.Errorf("%s %s is answered with %d, but not described", r.Method, path, w.Code)
		}
		return
	}
	input := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if w.Code < 300 {
		if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
			t.Errorf("%s %s %s was accepted, but is not as described: %v", r.Method, path, body, err)
		}
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: w.Code, Header: w.Header(), Options: input.Options,
		Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
	}
	if err := openapi3filter.ValidateResponse(r.Context(), answer); err != nil {
		t.Errorf("the answer to %s %s is not as described: %v", r.Method, path, err)
	}
}

func TestDocumentDescribesItselfAndEveryRoute(t *testing.T) {
	a := newAPI(t, nil)
	got := a.do("GET", "/tasks/openapi.json", "")
	if got.status != 200 || got.body["openapi"] != "3.1.0" {
		t.Fatalf("%d %.100s", got.status, got.text)
	}
	var described []string
	for path, methods := range got.body["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	routes := httpapi.RouteList()
	slices.Sort(described)
	slices.Sort(routes)
	if diff := cmp.Diff(routes, described); diff != "" {
		t.Errorf("routes (-) and their description (+):\n%s", diff)
	}
}
