package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/claimcheck-go/claimcheck/server/internal/api"
)

// checkParameters refuses parameters that the route would ignore: in the wrong place,
// unknown, or given twice. A purge whose filter was ignored would delete everything.
func (r route) checkParameters(w http.ResponseWriter, req *http.Request) error {
	if r.queryToo && req.URL.RawQuery == "" {
		return checkEncoding(req)
	}
	accepted := "none"
	if len(r.params) > 0 {
		accepted = strings.Join(r.params, ", ")
	}
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return api.BadRequest("the query %.100q cannot be read: it must be name=value pairs with & in between, percent-encoded; accepted: %s", req.URL.RawQuery, accepted)
	}
	withBody := hasBody(req.Method)
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names) // the error names the same one every time
	for _, name := range names {
		values := query[name]
		switch {
		case withBody && !r.queryToo && !r.ownQuery():
			const post = "the query parameter %.100q is not read with POST, whose parameters are fields of its JSON body; accepted there: %s"
			return api.BadRequest(strings.Replace(post, http.MethodPost, req.Method, 1), name, accepted)
		case !r.accepts(name) && r.queryToo:
			// The operator chooses the URL of deliveries, and a gateway may add to it:
			// a parameter that every delivery has must not fail them all.
		case !r.accepts(name):
			return api.BadRequest("unknown query parameter %.100q; accepted: %s", name, accepted)
		case len(values) > 1:
			return api.BadRequest("the query parameter %q is given twice; give it once", name)
		case !utf8.ValidString(values[0]) || strings.Contains(values[0], "\x00"):
			return api.BadRequest("the query parameter %q must be UTF-8 without U+0000", name)
		}
	}
	if withBody {
		return checkEncoding(req) // the body's reader checks the rest
	}
	if _, err := readBody(w, req, 0); err != nil {
		return api.BadRequest("%s takes no body; its parameters are in the query; accepted: %s", req.Method, accepted)
	}
	return nil
}

// provided returns a query parameter, nil if it is absent.
func provided(query url.Values, name string) *string {
	if values, ok := query[name]; ok {
		return &values[0]
	}
	return nil
}

// queryBool reads a query parameter that is "true" or "false"; absent is false.
func queryBool(query url.Values, name string) (bool, error) {
	value := provided(query, name)
	if value == nil {
		return false, nil
	}
	switch strings.ToLower(*value) {
	case "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, api.BadRequest("%s must be true or false", name)
	}
}
