package httpapi

import "net/http"

// RouteList is every endpoint as "METHOD /path/", with {task_id} where an ID
// belongs, so that tests cover a new one without a change.
func RouteList() []string {
	var list []string
	for _, r := range routes {
		path := "/tasks/" + r.name
		switch {
		case r.hasID:
			path += "/{task_id}/"
		case r.name != "openapi.json":
			path += "/"
		}
		list = append(list, r.method+" "+path)
		if r.get {
			list = append(list, http.MethodGet+" "+path)
		}
	}
	return list
}
