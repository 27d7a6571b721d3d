// Package micro has micro-benchmarks of the product's hot path without its
// database: what of a task's cost is our own code. They use only what the
// product exports, so that make bench-compare can run them on older revisions.
package micro
