package fakeapi

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// collections are the last segments of paths that list resources, and the field of
// the answer that has them.
var collections = map[string]string{
	"queues": "queues", "serviceAccounts": "accounts", "secrets": "secrets", "versions": "versions", "repositories": "repositories",
	"instances": "items", "databases": "items", "users": "items", "b": "items", "alertPolicies": "alertPolicies", "dashboards": "dashboards",
	"services": "services", "jobs": "jobs", "keys": "keys", "locations": "locations",
}

func (a *API) answer(r Request, query func(string) string, body Object) (int, Object) {
	path, verb, _ := strings.Cut(r.Path, ":")
	key := r.API + "/" + path
	if r.API == "storage" && strings.HasSuffix(path, "/iam") {
		return a.policy(strings.TrimSuffix(key, "/iam"), r.Method == http.MethodPut, body)
	}
	if strings.Contains(path, "/operations/") || strings.HasPrefix(path, "operations/") {
		return http.StatusOK, a.operation(r.API, nil)
	}
	switch {
	case verb == "getIamPolicy" || verb == "setIamPolicy":
		policy, _ := body["policy"].(Object)
		return a.policy(key, verb == "setIamPolicy", policy)
	case verb != "":
		return a.custom(r, key, verb, body)
	case r.API == "run" && r.Method != http.MethodGet:
		return a.putRun(r, key, body)
	}
	switch r.Method {
	case http.MethodGet:
		return a.get(r, key)
	case http.MethodPost:
		return a.create(r, key, query, body)
	case http.MethodPatch, http.MethodPut:
		object := a.objects[key]
		if object == nil {
			if r.API != "sql" {
				return http.StatusNotFound, nil
			}
			object = a.objects[key+"/"+query("name")] // a database's user
			if object == nil {
				return http.StatusNotFound, nil
			}
		}
		maps.Copy(object, body)
		return http.StatusOK, a.finished(r.API, object)
	case http.MethodDelete:
		delete(a.objects, key)
		return http.StatusOK, a.finished(r.API, Object{})
	}
	return http.StatusNotImplemented, nil
}

// policy reads or writes the policy of a resource.
func (a *API) policy(key string, set bool, policy Object) (int, Object) {
	key = "policy of " + key
	if set {
		a.objects[key] = policy
	}
	if a.objects[key] == nil {
		return http.StatusOK, Object{"etag": "AA==", "version": 1}
	}
	return http.StatusOK, a.objects[key]
}

func (a *API) get(r Request, key string) (int, Object) {
	if object := a.objects[key]; object != nil {
		return http.StatusOK, object
	}
	last := key[strings.LastIndex(key, "/")+1:]
	if r.API == "run" {
		return a.getRun(key, last)
	}
	if field, ok := collections[last]; ok {
		return http.StatusOK, Object{field: a.list(key)}
	}
	if r.API == "serviceusage" {
		return http.StatusOK, Object{"name": r.Path, "state": "DISABLED"}
	}
	return http.StatusNotFound, nil
}

// create adds a resource to a collection.
func (a *API) create(r Request, key string, query func(string) string, body Object) (int, Object) {
	last := key[strings.LastIndex(key, "/")+1:]
	parent := strings.TrimSuffix(r.Path, "/"+last)
	name, _ := body["name"].(string)
	id := name[strings.LastIndex(name, "/")+1:]
	object := body
	switch last {
	case "serviceAccounts":
		project := strings.TrimPrefix(parent, "projects/")
		id = fmt.Sprintf("%s@%s.iam.gserviceaccount.com", body["accountId"], project)
		object = Object{"name": r.Path + "/" + id, "email": id, "projectId": project, "uniqueId": fmt.Sprint(len(a.objects))}
		maps.Copy(object, asObject(body["serviceAccount"]))
	case "secrets":
		id = query("secretId")
		object["name"] = r.Path + "/" + id
	case "repositories":
		id = query("repositoryId")
		object["name"] = r.Path + "/" + id
	case "alertPolicies", "dashboards":
		id = fmt.Sprint(1000 + len(a.list(key)))
		object["name"] = r.Path + "/" + id
	case "instances":
		object["connectionName"] = fmt.Sprintf("my-project:%s:%s", body["region"], id)
		object["state"] = "RUNNABLE"
	}
	if id == "" || collections[last] == "" {
		return http.StatusNotImplemented, nil
	}
	if a.objects[key+"/"+id] != nil {
		return http.StatusConflict, nil
	}
	a.objects[key+"/"+id] = object
	return http.StatusOK, a.finished(r.API, object)
}

func asObject(value any) Object {
	object, _ := value.(Object)
	return object
}

// custom answers methods such as secrets:addVersion.
func (a *API) custom(r Request, key, verb string, body Object) (int, Object) {
	switch {
	case verb == "addVersion":
		number := fmt.Sprint(len(a.list(key+"/versions")) + 1)
		data, _ := base64.StdEncoding.DecodeString(fmt.Sprint(asObject(body["payload"])["data"]))
		version := Object{"name": strings.TrimSuffix(r.Path, ":addVersion") + "/versions/" + number, "state": "ENABLED", "clientSpecifiedPayloadChecksum": true}
		a.objects[key+"/versions/"+number] = version
		a.objects["data of "+key] = Object{"data": string(data)}
		return http.StatusOK, version
	case verb == "batchEnable":
		ids, _ := body["serviceIds"].([]any)
		for _, id := range ids {
			a.enable(key+"/"+fmt.Sprint(id), fmt.Sprint(id))
		}
		return http.StatusOK, a.operation(r.API, nil)
	case verb == "enable":
		a.enable(key, key[strings.LastIndex(key, "/")+1:])
		return http.StatusOK, a.operation(r.API, nil)
	case verb == "run" && r.API == "run":
		return a.runJob(key)
	}
	return http.StatusNotImplemented, nil
}

func (a *API) enable(key, name string) {
	a.objects[key] = Object{"name": strings.TrimPrefix(key, "serviceusage/"), "state": "ENABLED", "config": Object{"name": name}}
}

// operated are the APIs whose changes are long-running operations.
var operated = []string{"artifactregistry", "sql", "serviceusage"}

// finished is the answer to a change.
func (a *API) finished(api string, object Object) Object {
	if slices.Contains(operated, api) {
		return a.operation(api, object)
	}
	return object
}

func (a *API) operation(api string, response Object) Object {
	a.serial++
	if api == "sql" {
		return Object{"kind": "sql#operation", "name": fmt.Sprintf("op-%d", a.serial), "status": "DONE", "operationType": "CREATE", "targetProject": "my-project"}
	}
	operation := Object{"name": fmt.Sprintf("projects/my-project/locations/europe-west1/operations/op-%d", a.serial), "done": true}
	if api == "serviceusage" {
		operation["name"] = fmt.Sprintf("operations/op-%d", a.serial)
	}
	operation["response"] = Object{"@type": "type.googleapis.com/google.protobuf.Empty"}
	if response != nil {
		operation["response"] = response
	}
	return operation
}
