// Package httpapi serves /tasks/*: the endpoint that Cloud Tasks delivers to,
// and those that programs and operators call.
//
// [New] returns an [http.Handler] for any mux; an [Authenticator] decides who may
// call it: [BearerToken], [HMAC], [LoopbackOnly], [AppEngineQueue], an OIDC verifier
// or one of the program's own, combined by [AnyOf]. [Require] protects other routes
// in the same way. The API is described in OpenAPI 3.1 at /tasks/openapi.json.
//
// The package connects deliveries with a [queue.Executor]: routes.go lists the
// routes, execute.go passes a delivered ID to RunByID, and server/internal/api has the
// one table from outcomes to status codes. The caller of execute is Cloud Tasks, which
// deletes the message on 2xx and delivers it again on anything else, so that table
// decides whether a task can be lost.
package httpapi
