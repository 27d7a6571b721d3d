package server

import (
	"fmt"
	"os"

	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// Commands that only read print the database that they read, and create none. A
// database in memory is only for programs that keep running.

// nameDatabase prints on stderr which database a command reads, unless it prints
// JSON.
func (p *program) nameDatabase(asJSON bool) {
	if rawURL, err := p.config.DatabaseURL(); err == nil && !asJSON {
		p.say("database %s", stores.Describe(rawURL))
	}
}

// checkExists refuses a SQLite file that does not exist, in a directory that does.
func (p *program) checkExists(rawURL string) error {
	file := stores.MissingFile(rawURL)
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
	if stores.InMemory(rawURL) {
		return config.Problemf("DATABASE_URL", "is %s, which is lost when this command ends and which no other process sees: only serve can use it; give a file, as in sqlite:claimcheck.db", rawURL)
	}
	return nil
}
