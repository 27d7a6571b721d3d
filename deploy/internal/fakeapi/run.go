package fakeapi

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"
)

// getRun answers for the knative API of Cloud Run.
func (a *API) getRun(key, last string) (int, Object) {
	switch last {
	case "services", "jobs", "workerpools":
		kind := map[string]string{"services": "ServiceList", "jobs": "JobList", "workerpools": "WorkerPoolList"}[last]
		return http.StatusOK, Object{"kind": kind, "items": a.list(key)}
	}
	return http.StatusNotFound, nil
}

// putRun creates or replaces a service, a job or a worker pool.
func (a *API) putRun(r Request, key string, body Object) (int, Object) {
	metadata := asObject(body["metadata"])
	name, _ := metadata["name"].(string)
	if r.Method == http.MethodDelete {
		delete(a.objects, key)
		return http.StatusOK, Object{}
	}
	if r.Method == http.MethodPost {
		key += "/" + name
		if a.objects[key] != nil {
			return http.StatusConflict, nil
		}
	} else if a.objects[key] == nil {
		return http.StatusNotFound, nil
	}
	before := a.objects[key]
	a.serial++
	metadata["generation"] = 1 + generation(before)
	metadata["resourceVersion"] = fmt.Sprint(a.serial)
	metadata["namespace"], metadata["uid"], metadata["selfLink"] = "123456789", "uid", r.Path
	metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
	status := Object{"observedGeneration": metadata["generation"], "conditions": conditions("Ready", "ConfigurationsReady", "RoutesReady")}
	if body["kind"] == "Service" {
		a.roll(key, before, body, status)
	}
	body["status"] = status
	a.objects[key] = body
	return http.StatusOK, body
}

func generation(object Object) int {
	switch n := asObject(object["metadata"])["generation"].(type) {
	case int:
		return n
	case float64:
		return int(n)
	}
	return 0
}

func conditions(types ...string) []any {
	var found []any
	for _, name := range types {
		found = append(found, Object{"type": name, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"})
	}
	return found
}

// roll makes a revision where the template of a service has changed, and sets its
// traffic.
func (a *API) roll(key string, before, service, status Object) {
	name := fmt.Sprint(asObject(service["metadata"])["name"])
	template := asObject(asObject(service["spec"])["template"])
	latest, _ := asObject(before["status"])["latestCreatedRevisionName"].(string)
	if !reflect.DeepEqual(template, asObject(asObject(before["spec"])["template"])) {
		latest, _ = asObject(template["metadata"])["name"].(string)
		if latest == "" {
			latest = fmt.Sprintf("%s-%05d-abc", name, generation(service))
		}
		metadata := Object{"name": latest, "namespace": "123456789", "labels": Object{"serving.knative.dev/service": name}, "creationTimestamp": "2026-01-01T00:00:00Z"}
		a.objects[strings.Replace(key, "/services/"+name, "/revisions/"+latest, 1)] = copied(Object{
			"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": metadata, "spec": template["spec"],
			"status": Object{"conditions": conditions("Ready", "ContainerHealthy", "ResourcesAvailable", "Active")},
		})
	}
	status["latestCreatedRevisionName"], status["latestReadyRevisionName"] = latest, latest
	status["url"] = "https://" + name + "-123456789.europe-west1.run.app"
	status["address"] = Object{"url": status["url"]}
	var traffic []any
	targets, _ := asObject(service["spec"])["traffic"].([]any)
	if targets == nil {
		targets = []any{Object{"latestRevision": true, "percent": 100}}
		asObject(service["spec"])["traffic"] = targets
	}
	for _, each := range targets {
		target := maps.Clone(asObject(each))
		if target["latestRevision"] == true {
			target["revisionName"] = latest
		}
		if tag, ok := target["tag"]; ok {
			target["url"] = fmt.Sprintf("https://%s---%s-123456789.europe-west1.run.app", tag, name)
		}
		traffic = append(traffic, target)
	}
	status["traffic"] = traffic
}

// runJob starts an execution, which has succeeded at once.
func (a *API) runJob(key string) (int, Object) {
	job := a.objects[key]
	if job == nil {
		return http.StatusNotFound, nil
	}
	a.serial++
	name := fmt.Sprintf("execution-%d", a.serial)
	execution := Object{
		"apiVersion": "run.googleapis.com/v1", "kind": "Execution",
		"metadata": Object{"name": name, "namespace": "123456789", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "labels": Object{"run.googleapis.com/job": key[strings.LastIndex(key, "/")+1:]}},
		"spec":     asObject(asObject(asObject(job["spec"])["template"])["spec"]),
		"status":   Object{"observedGeneration": 1, "succeededCount": 1, "completionTime": "2026-01-01T00:00:01Z", "conditions": conditions("Completed", "Started", "ResourcesAvailable")},
	}
	parts := strings.Split(key, "/")
	a.objects[strings.Join(parts[:len(parts)-2], "/")+"/executions/"+name] = execution
	return http.StatusOK, execution
}
