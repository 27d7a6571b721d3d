// Package server turns tasks into a program. It serves /tasks/* and /admin/, runs
// tasks directly where there is no Cloud Tasks, pulls them as a worker, detects the
// platform, connects to the database, exports telemetry, and has the command line for
// all of that. What it uses can be used without it: packages
// [github.com/claimcheck-go/claimcheck/queue],
// [github.com/claimcheck-go/claimcheck/server/httpapi],
// [github.com/claimcheck-go/claimcheck/server/admin] and others.
//
// There are three ways in, from the shortest to the one that leaves most to the
// program:
//
//   - [Main] is a whole program, given its tasks.
//   - [Run] runs one command of a program that is described by a [Config]: with tasks
//     that need dependencies, routes of its own, and settings that it decides.
//   - [Open] gives an existing program, which keeps its own main and its own HTTP server,
//     an [App]: a client that enqueues, and handlers to mount.
//
// # Settings
//
// Every setting is an environment variable, a flag of every command, and a field of
// [Settings]; a flag wins over a field, and a field over a variable. docs/reference.md
// lists them all, and so does the --help of a program.
//
// # Access
//
// Outside local mode on a loopback address, serve refuses to start while no setting
// and no field of Config says who may call /tasks/*. The handlers of Open, which do not
// know where they are served, are open without a credential only to connections whose
// two addresses are loopback. In both cases requests that a proxy forwarded require a
// credential.
package server
