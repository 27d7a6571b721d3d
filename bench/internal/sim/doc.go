// Package sim is a model of claimcheck under load, as a discrete-event
// simulation: what is waited for, and how long, when some of a system's parts
// are busy. It needs no server and no clock, is the same for the same seed, and
// plays minutes of thousands of tasks a second in seconds.
//
// The path of a task is in path.go:
//
//	insert ▶ Cloud Tasks queue ▶ instance: claim ▶ work ▶ finish ▶ answer
//	   └──────────────── database ───────┴────────────┘
//
// What it leaves out: failures and repeats, heartbeats and sweeps (a few
// statements a minute), the merging of concurrent statements (choose their CPU
// for the load that is meant), and instances that end. A request that finds no
// free instance waits, where the real handler answers 429 after a while.
//
// capacity.go is the closed formula for the same Config; the tests hold one
// against the other, and the simulator against what queueing theory knows.
package sim
