// Package queuetest is for tests of programs that enqueue and run tasks. It needs no
// database, and links no driver of one.
//
// [New] makes a client on a [Store] in memory, with a fake [Clock]. The program under test
// enqueues; the test says what must be there, runs it, and lets time pass:
//
//	client, clock := queuetest.New(t, SendWelcome, SendReminder)
//	signUp(t.Context(), client, "ann@example.com")
//	queuetest.RequireEnqueued(t, client, SendWelcome, queuetest.Args(WelcomeArgs{To: "ann@example.com"}))
//	queuetest.Drain(t, client)                  // runs what is due, and what that enqueues
//	queuetest.DrainFor(t, client, 72*time.Hour) // and what is due within three days
//
// Tasks run as in production: their arguments are encoded, stored, claimed and decoded,
// timeouts, panics, retries, keys, limits and schedules have their effects, and hooks are
// called. [Run] runs one task and returns what it returned.
//
// # With another store
//
// All functions but [DrainFor] work with every client, whatever its store and dispatcher
// are: with that of a PostgreSQL, for example, when the program writes its own data and
// enqueues in one transaction. Time is that of the database then, so a task that waits for
// a retry stays where it is. [RequireEnqueuedTx] and [RequireNoneTx] look into a transaction
// that the test rolls back at its end.
//
// # With Cloud Tasks
//
// Package server/pushtest makes a client whose tasks go all the way: row, Cloud Task, HTTP
// request with an OIDC token, run.
//
// # With testing/synctest
//
// In a bubble use a store without a Clock, NewClient(t, queue.Config{Store: NewStore(nil)}):
// then everything, timeouts and pauses of the process too, goes by the bubble's time, which
// time.Sleep moves.
package queuetest
