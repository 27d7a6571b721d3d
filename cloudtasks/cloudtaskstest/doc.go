// Package cloudtaskstest is a fake of Google Cloud Tasks: for tests in process,
// and as a small process on loopback (cmd/cloudtasks-emulator). Google offers
// no emulator.
//
// Where it is in the path:
//
//	enqueue → row → ticket → Cloud Tasks → POST → oidc → executor
//	                         ^^^^^^^^^^^^^^^^^^
//
// It speaks the service's gRPC interface, so the real client is what a test
// uses; keeps queues and tasks in memory; delivers tasks over HTTP, or to an
// http.Handler in process; signs OIDC tokens with a key of its own and serves
// that key as the service's certificates. What it does not do answers
// UNIMPLEMENTED: deleting batches, IAM, CMEK, overrides of a queue for its tasks.
//
// Everything it waits for goes by package time, and its connections can stay
// within the process. So it works inside a testing/synctest bubble, where hours
// of retries take milliseconds; make it, and close it, inside the bubble.
//
//	synctest.Test(t, func(t *testing.T) {
//		srv, client := cloudtaskstest.Start(t, cloudtaskstest.Config{
//			AutoCreate: cloudtaskstest.AnyQueue,
//			Handler:    mux,
//		})
//		…
//		err := srv.WaitEmpty(t.Context())
//	})
//
// # How faithful it is
//
// The rules are those of the service's reference; texts of errors and headers
// are as recorded from the real service by github.com/aertje/cloud-tasks-emulator
// (its conformance suite). Where neither says enough, the assumption has one
// place in the code and is marked there by "Assumed:": the steps by which 429
// and 503 slow a queue down (limits.go), the use of Retry-After and a retry
// config of which only one limit is set (retry.go), burst sizes (queues.go), the
// headers after an attempt without an answer (deliver.go), and all that the reference
// leaves open about batches (batch.go).
//
// All methods are safe for concurrent use.
package cloudtaskstest
