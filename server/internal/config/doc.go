// Package config holds the settings of the server: their flags and variables,
// where each value came from, what is detected in place of those that are not
// set, and what is wrong with them.
//
// It reads the environment that it is given and changes none, so that two
// servers can run in one process.
package config
