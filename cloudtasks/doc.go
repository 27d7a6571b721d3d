// Package cloudtasks sends tickets through Google Cloud Tasks: it is the
// queue.Dispatcher of Cloud Run and App Engine.
//
// Its place in the path:
//
//	enqueue → row → ticket → Cloud Tasks → POST → oidc → executor
//	                         ^^^^^^^^^^^
//
// For each ticket it creates one Cloud Task whose request is an empty POST to
// the handler URL with the row's ID in it, and "?fail_on_error=true". Nothing
// else of the task leaves the database. Cloud Tasks delivers it at least once,
// with an OIDC token, and again after every answer that is not 2xx; the claim
// makes repeats harmless, which is why creates may be repeated freely here and
// why tasks are unnamed unless the ticket carries a name.
//
// The files follow the ticket: config.go checks the [Config], request.go turns
// a ticket into a CreateTaskRequest (a pure function), dispatcher.go sends it,
// with retries of its own because Google's client has none for CreateTask, and
// explain.go says what a refusal means and how to fix it. [Dial] makes the
// client, for the service or for an emulator.
//
// Package cloudtaskstest is a fake of the service for tests.
//
// Facts about the service are from its reference
// (https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2)
// unless a comment says otherwise.
package cloudtasks
