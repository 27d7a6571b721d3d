// Package queue runs background tasks that are never lost.
//
// Every task is a row in the team's own database; what travels is only the
// row's ID. The path, which everything else is a caller of:
//
//	Client.Enqueue   stores a Row through a Store,
//	Dispatcher       sends the row's ID on its way as a Ticket, after the commit:
//	                 through Cloud Tasks (package cloudtasks), or in this
//	                 process (Local),
//	Executor         takes the ID that was delivered, claims the row, runs the
//	                 function that the Registry knows under its name, and
//	                 finishes the row under the same claim.
//
// Any step may die. A row that was not claimed by the time it carries
// (Row.DispatchDueAt) is dispatched again; a claim whose lease runs out may be
// taken by another; a finish takes effect only under the claim that still
// holds. So an acknowledged enqueue reaches a final state, at most one claim
// finishes it, and side effects run at least once.
//
// Define a task with NewTask, list tasks in a Registry, and make a Client:
//
//	var Hello = queue.NewTask("hello", func(ctx context.Context, name string) (string, error) {
//		return "Hello, " + name, nil
//	})
//
// This package imports no database driver and no vendor's SDK; adapters
// (queue/pgstore, queue/sqlitestore, queue/mysqlstore, cloudtasks) import it.
package queue
