// Package cloudrunjobs runs each task as an execution of a Cloud Run job: it is
// the [queue.Dispatcher] of tasks that take longer than a request may.
//
// Its place in the path:
//
//	enqueue → row → ticket → Cloud Run Jobs → server run ID → executor
//	                         ^^^^^^^^^^^^^^
//
// For each ticket that is due it starts one execution of a job, whose container
// gets the arguments "run" and the row's ID. The row, its claim, lease, heartbeat
// and cancellation are those of every other task: nothing of it travels, and two
// executions for one row are harmless.
//
// Cloud Run keeps no execution for later, and brings none again when it fails. A
// ticket that is not due is therefore accepted and left alone: the sweeper
// comes back to the row once it should have been claimed, which is
// queue.DispatchGrace after its time, and that much after a failed attempt's
// longest backoff.
package cloudrunjobs
