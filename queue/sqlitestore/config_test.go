package sqlitestore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// otherDriver is a driver that this package does not know.
type otherDriver struct{}

func (otherDriver) Connect(context.Context) (driver.Conn, error) {
	return nil, errors.New("not called")
}
func (otherDriver) Open(string) (driver.Conn, error) { return nil, errors.New("not called") }
func (d otherDriver) Driver() driver.Driver          { return d }

func TestConfigNamesTheField(t *testing.T) {
	other := sql.OpenDB(otherDriver{})
	defer func() { _ = other.Close() }()
	for what, c := range map[string]struct {
		config      sqlitestore.Config
		field, text string
	}{
		"nothing":       {sqlitestore.Config{}, "URL", "sqlite:PATH"},
		"MySQL":         {sqlitestore.Config{URL: "mysql://u:s3cret@h/d"}, "URL", "package mysqlstore"},
		"both":          {sqlitestore.Config{URL: "sqlite:x.db", Pool: other}, "Pool", "Config.URL is set too"},
		"other drivers": {sqlitestore.Config{Pool: other}, "Pool", "modernc.org/sqlite"},
	} {
		var wrong *queue.ConfigError
		err := c.config.Validate()
		if !errors.As(err, &wrong) || wrong.Field != c.field || !strings.Contains(wrong.Text, c.text) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", what, err)
		}
		if _, opened := sqlitestore.Open(t.Context(), c.config); opened == nil || opened.Error() != err.Error() {
			t.Errorf("%s: Open: %v", what, opened)
		}
	}
	for what, pool := range map[string]*sql.DB{"check the error of sql.Open": nil, "modernc.org/sqlite": other} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, what) {
					t.Errorf("New panics with %q", text)
				}
			}()
			sqlitestore.New(pool)
		}()
	}
}
