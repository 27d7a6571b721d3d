// Package fakeapi imitates the Google Cloud APIs that gcloud calls for the deployment
// scripts, as an HTTP proxy on loopback that keeps state. It checks no permission and
// no field: gcloud itself builds the requests, and the tests look at what they change.
package fakeapi

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// Object is a resource of an API.
type Object = map[string]any

// Request is a request of gcloud.
type Request struct {
	API, Method, Path string
}

// String returns the request as text.
func (r Request) String() string { return r.Method + " " + r.API + " " + r.Path }

// Changes reports whether the request changes anything.
func (r Request) Changes() bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.HasSuffix(r.Path, "getIamPolicy")
}

// API is the imitation of all APIs. It is safe for concurrent use.
type API struct {
	server *httptest.Server

	mu       sync.Mutex
	objects  map[string]Object // by API and path
	requests []Request
	refused  []string // what the imitation does not know
	serial   int
}

// New starts the imitation, with a project that has no resources.
func New() *API {
	a := &API{objects: map[string]Object{}}
	a.objects["cloudresourcemanager/projects/my-project"] = Object{"projectId": "my-project", "projectNumber": "123456789", "lifecycleState": "ACTIVE"}
	a.server = httptest.NewServer(http.HandlerFunc(a.serve))
	return a
}

// Close stops the imitation.
func (a *API) Close() { a.server.Close() }

// overridden are the APIs that gcloud is to look for here.
var overridden = []string{
	"alpha", "appengine", "artifactregistry", "cloudbuild", "cloudresourcemanager", "cloudscheduler", "cloudtasks", "iam", "iamcredentials", "monitoring",
	"run", "secretmanager", "serviceusage", "sql", "storage",
}

// Env returns the variables that direct gcloud here. configDir is a directory for
// gcloud's own files; tokenFile has an access token.
func (a *API) Env(configDir, tokenFile string) []string {
	host, port, _ := strings.Cut(strings.TrimPrefix(a.server.URL, "http://"), ":")
	env := []string{
		"CLOUDSDK_CONFIG=" + configDir, "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=" + tokenFile, "CLOUDSDK_CORE_DISABLE_PROMPTS=1",
		"CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=1", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=1", "CLOUDSDK_SURVEY_DISABLE_PROMPTS=1",
		"CLOUDSDK_PROXY_TYPE=http", "CLOUDSDK_PROXY_ADDRESS=" + host, "CLOUDSDK_PROXY_PORT=" + port,
	}
	for _, api := range overridden {
		if api != "alpha" {
			env = append(env, "CLOUDSDK_API_ENDPOINT_OVERRIDES_"+strings.ToUpper(api)+"=http://"+api+".fake/")
		}
	}
	return env
}

// Requests returns the requests so far, and what the imitation had no answer to.
func (a *API) Requests() (requests []Request, refused []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests), slices.Clone(a.refused)
}

// Get returns a copy of a resource, by API and path.
func (a *API) Get(path string) Object {
	a.mu.Lock()
	defer a.mu.Unlock()
	return copied(a.objects[path])
}

func copied(object Object) Object {
	if object == nil {
		return nil
	}
	text, err := json.Marshal(object)
	var other Object
	if err == nil {
		err = json.Unmarshal(text, &other)
	}
	if err != nil {
		panic(err) // it came from JSON
	}
	return other
}

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	api, _, _ := strings.Cut(r.URL.Host, ".")
	api = api[strings.LastIndex(api, "-")+1:] // europe-west1-run is a regional endpoint
	path := stripVersion(strings.TrimPrefix(r.URL.Path, "/"))
	if rest, ok := strings.CutPrefix(path, "projects/-/"); ok { // whichever project it is in
		path = "projects/my-project/" + rest
	}
	// Cloud Run names the project by its number, too.
	path = strings.Replace(path, "namespaces/123456789/", "namespaces/my-project/", 1)
	request := Request{API: api, Method: r.Method, Path: path}
	a.requests = append(a.requests, request)
	var body Object
	if text, err := io.ReadAll(r.Body); err != nil || len(text) > 0 && json.Unmarshal(text, &body) != nil {
		body = Object{}
	}
	status, answer := http.StatusForbidden, Object{}
	if r.Method != http.MethodConnect && strings.HasSuffix(r.URL.Host, ".fake") {
		status, answer = a.answer(request, r.URL.Query().Get, body)
	}
	if status == http.StatusForbidden || status == http.StatusNotImplemented {
		a.refused = append(a.refused, fmt.Sprintf("%s https://%s%s", r.Method, r.Host, r.URL.Path))
	}
	if status >= 400 {
		answer = Object{"error": Object{"code": status, "message": request.String(), "status": map[int]string{404: "NOT_FOUND", 409: "ALREADY_EXISTS"}[status]}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		a.refused = append(a.refused, err.Error())
	}
}

// stripVersion removes the version of an API from a path.
func stripVersion(path string) string {
	for _, prefix := range []string{"apis/serving.knative.dev/v1/", "apis/run.googleapis.com/v1/", "storage/v1/", "sql/v1beta4/"} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			return rest
		}
	}
	if version, rest, ok := strings.Cut(path, "/"); ok && strings.HasPrefix(version, "v") {
		return rest
	}
	return path
}

// list returns the resources of a collection.
func (a *API) list(collection string) []any {
	found := []any{}
	for _, key := range slices.Sorted(maps.Keys(a.objects)) {
		if rest, ok := strings.CutPrefix(key, collection+"/"); ok && !strings.Contains(rest, "/") {
			found = append(found, a.objects[key])
		}
	}
	return found
}
