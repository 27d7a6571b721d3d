package httpapi

import (
	"net/http"
	"strings"
)

// RouteList is every endpoint as "METHOD /path/", with a name in braces where a
// value belongs, so that tests cover a new one without a change.
func RouteList() []string {
	var list []string
	for _, r := range routes {
		path := r.pattern()
		if r.name == "openapi.json" {
			path = strings.TrimSuffix(path, "/")
		}
		list = append(list, r.method+" "+path)
		if r.get {
			list = append(list, http.MethodGet+" "+path)
		}
	}
	return list
}
