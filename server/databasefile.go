package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/claimcheck-go/claimcheck/queue/sqlstore"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// Commands that only read name the database that they read, and create none. One
// in memory is for programs that stay.

// nameDatabase says on stderr which database a command reads. With --json it says
// nothing.
func (p *program) nameDatabase(asJSON bool) {
	if rawURL, err := p.config.DatabaseURL(); err == nil && !asJSON {
		p.say("database %s", describeDatabase(rawURL))
	}
}

// checkExists refuses a SQLite file that does not exist, in a directory that does.
func (p *program) checkExists(rawURL string) error {
	file := missingFile(rawURL)
	switch {
	case file == "":
		return nil
	case p.config.Settings.DatabaseURL != "":
		return fmt.Errorf("SQLite database %s does not exist: correct DATABASE_URL, or create the database with: %s migrate", file, p.name)
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "this directory"
	}
	return fmt.Errorf("SQLite database %s does not exist in %s: it is the default, since DATABASE_URL is not set; set DATABASE_URL, change the directory, or create the database with: %s migrate", file, dir, p.name)
}

// checkKept refuses a database in memory for a command that ends.
func (p *program) checkKept() error {
	rawURL, err := p.config.DatabaseURL()
	if err != nil {
		return err
	}
	if isMemory(rawURL) {
		return config.Problemf("DATABASE_URL", "is %s, which is lost when this command ends and which no other process sees: only serve can use it; give a file, as in sqlite:claimcheck.db", rawURL)
	}
	return nil
}

// isMemory reports whether a URL is of a SQLite database in memory.
func isMemory(rawURL string) bool {
	path, err := sqlstore.FilePath(rawURL)
	return err == nil && path == ""
}

// missingFile is the SQLite file of a URL, if it does not exist in a directory
// that does.
func missingFile(rawURL string) string {
	path, err := sqlstore.FilePath(rawURL)
	if err != nil || path == "" {
		return ""
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		return ""
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return ""
	}
	return path
}

// fileProblem says what keeps this process from using the SQLite file of a URL;
// nil if nothing does. SQLite itself knows only that it could not open it. Whether
// a directory takes files is tried: permissions are not all that decides it.
func fileProblem(rawURL string) error {
	path, _ := sqlstore.FilePath(rawURL)
	if path == "" { // another database, or one in memory
		return nil
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory: let DATABASE_URL name a file in it", path)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no directory %s: create it, or name another path", dir)
	}
	tried, err := os.CreateTemp(dir, ".claimcheck-*")
	if err != nil {
		return fmt.Errorf("the directory %s, where SQLite keeps files beside the database, is not writable by this user (uid %d): %w", dir, os.Getuid(), errors.Unwrap(err))
	}
	_, _ = tried.Close(), os.Remove(tried.Name())
	file, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the operator names it
	switch {
	case err == nil:
		return file.Close()
	case os.IsNotExist(err):
		return nil
	default:
		return fmt.Errorf("%s is not writable by this user (uid %d): %w", path, os.Getuid(), errors.Unwrap(err))
	}
}
