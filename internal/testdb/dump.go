package testdb

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Dump returns what pg_dump writes about a database of the server with some options: a
// script for psql, or an archive for pg_restore with --format=custom.
func (s *Server) Dump(tb testing.TB, database string, options ...string) []byte {
	tb.Helper()
	file := filepath.Join(s.dir, "dump")
	s.runTool(tb, "pg_dump", append(options, "--file="+file, "--dbname="+s.URL(database))...)
	dump, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return dump
}

// Restore restores an archive of Dump with pg_restore and some options. Every error
// fails the test.
func (s *Server) Restore(tb testing.TB, database string, archive []byte, options ...string) {
	tb.Helper()
	file := filepath.Join(s.dir, "restore")
	if err := os.WriteFile(file, archive, 0o644); err != nil { //nolint:gosec // the server's user reads it
		tb.Fatal(err)
	}
	s.runTool(tb, "pg_restore", append(options, "--exit-on-error", "--dbname="+s.URL(database), file)...)
}

// runTool runs a program that is installed with the server or, where that is the server
// alone, the one on PATH.
func (s *Server) runTool(tb testing.TB, name string, args ...string) {
	tb.Helper()
	program := filepath.Join(s.bin, name)
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		program = name
	}
	if out, err := s.command(program, args...).CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			tb.Fatalf("these tests need PostgreSQL's program %s: apt-get install postgresql-client", name)
		}
		tb.Fatalf("%s: %v\n%s", name, err, out)
	}
}
