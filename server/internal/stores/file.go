package stores

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// FilePath returns the path of the SQLite file that a URL names; empty for any
// other database, and for one in memory.
func FilePath(rawURL string) string {
	if !Embedded(rawURL) {
		return ""
	}
	path, _ := sqlitestore.Config{URL: rawURL}.Path() // Validate reports what is wrong with it
	return path
}

// InMemory reports whether a URL is of a SQLite database in memory.
func InMemory(rawURL string) bool {
	if !Embedded(rawURL) {
		return false
	}
	path, err := sqlitestore.Config{URL: rawURL}.Path()
	return err == nil && path == ""
}

// MissingFile returns the SQLite file of a URL if the file does not exist and its
// directory does.
func MissingFile(rawURL string) string {
	path := FilePath(rawURL)
	if path == "" {
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

// FileProblem returns what keeps this process from using the SQLite file of a URL;
// nil if nothing does. SQLite itself knows only that it could not open it. Whether
// a directory takes files is tried, because permissions are not all that decides it.
func FileProblem(rawURL string) error {
	path := FilePath(rawURL)
	if path == "" {
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
