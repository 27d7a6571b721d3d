// Package queue runs background tasks that are never lost.
//
// Every task is a row in the team's own database; only the row's ID travels. All
// ways to run a task use one path:
//
//   - [Client.Enqueue] stores a [Row] through a [Store].
//   - A [Dispatcher] dispatches the row's ID as a [Ticket] after the commit: through
//     Cloud Tasks (package cloudtasks), or in this process ([Local]). Without one,
//     workers pull ([Executor.Work]).
//   - An [Executor] takes a delivered ID, claims the row, runs the function that the
//     [Registry] has under its name, and finishes the row under the same claim
//     ([Executor.RunByID]).
//
// Any step may fail. A row that was not claimed by its DispatchDueAt is dispatched
// again ([Client.Sweep]); when a claim's lease expires, the row can be claimed again;
// a finish takes effect only under the claim that still holds. So a task whose
// enqueue was acknowledged reaches a final state, at most one claim finishes it, and
// its side effects happen at least once.
//
// # Using it
//
// Define tasks with [NewTask] (or [NewTaskFunc], or [Declare] and [Task.Handle]) and
// list them in a [Registry]. Make a [Client] with [NewClient] and enqueue with
// [Task.Enqueue]; [StartLocal] makes one whose tasks run in this process. A task's
// function reads its [Info] with [InfoFrom], and decides with the error that it
// returns what happens next: [Discard], [Cancel], [RetryAt], [Snooze]. [Task.Result]
// and [Task.Wait] return its typed return value. With [Task.EnqueueTx] and
// [CompleteTx] a task is enqueued or finished in the caller's own transaction.
//
// For operators there are [Client.Stats], [Client.Cancel], [Client.Purge],
// [Client.Requeue] and [Client.Act]; [Hooks] observe tasks. Package server, above
// this one, adds commands, HTTP endpoints and pages.
//
// This package imports no database driver and no vendor SDK: the stores
// (queue/pgstore, queue/sqlitestore, queue/mysqlstore) and cloudtasks import it.
// Errors are documented with the methods; test for them with errors.Is and errors.As.
package queue
