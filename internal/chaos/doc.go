// Package chaos contains the chaos run: real worker processes with a real database and
// a fake Cloud Tasks, while everything that can fail does, and a validation of every
// transition afterwards.
//
// The run is a test. Its parts are:
//
//   - worker: the program that runs in several processes, which are killed, stopped
//     and continued; packages tasks and ledger are its work;
//   - proxy: cuts connections to the database, also between a commit and its
//     acknowledgement;
//   - front: one address for Cloud Tasks and producers, in front of the workers that
//     are up;
//   - an audit table of every transition of every row, which a trigger in the database
//     writes;
//   - validate: the rules that the audit must satisfy; settle compares it with the
//     rows, the ledger and the answers.
//
// A run prints its seed. The same seed makes the same choice of faults, as far as
// timing permits. `make chaos` runs it on all databases; options_test.go declares
// further flags. The mutations remove one guard of the product at a time, and a run
// that does not detect it has failed.
package chaos
