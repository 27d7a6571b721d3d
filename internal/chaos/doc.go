// Package chaos holds the chaos run: real worker processes over a real database
// and a fake Cloud Tasks, while everything that can fail does, and an account of
// every transition afterwards that must come out even.
//
// The run is a test. What it is made of:
//
//   - worker: the program that is started several times, killed, stopped and
//     woken up again; tasks and books are what it works on;
//   - proxy: cuts connections to the database, also between a commit and its
//     acknowledgement;
//   - front: one address for Cloud Tasks and producers, behind which the workers
//     come and go;
//   - an audit table, which a trigger in the database writes, of every
//     transition of every row;
//   - judge: the rules that the audit must keep to, and the figures that must
//     agree with one another.
//
// A run prints its seed. The same seed makes the same choice of faults, as far as
// timing lets it. `make chaos` runs it on all databases; further flags stand in
// options_test.go. The mutations take one guard of the product away at a time,
// and a run that does not notice has failed.
package chaos
