// Package httpapi serves /tasks/*: the endpoint that Cloud Tasks delivers to,
// and those that programs and people call.
//
// It stands between the delivery and the Executor: routes.go lists the routes,
// execute.go passes a delivered ID to queue.Executor.RunByID, and answer.go is
// the one table from outcomes to status codes. The caller of execute is Cloud
// Tasks, which deletes the message on 2xx and delivers it again on anything
// else, so the table decides whether a task can be lost.
package httpapi
