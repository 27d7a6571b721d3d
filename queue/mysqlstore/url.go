package mysqlstore

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/claimcheck-go/claimcheck/internal/dburl"
	"github.com/claimcheck-go/claimcheck/queue"
)

const form = "it must look like mysql://user:password@host:3306/name, with special characters in the password percent-encoded (@ as %40, / as %2F, ? as %3F, # as %23)"

// parseURL reads Config.URL. With a dialer it needs no host. No error quotes the
// URL, which may contain the password.
func parseURL(rawURL string, dialed bool) (*mysql.Config, error) {
	canonical, err := dburl.Canonical(rawURL)
	if err != nil {
		return nil, badURL(err.Error())
	}
	switch scheme := dburl.Scheme(canonical); scheme {
	case "mysql":
	case "postgres":
		return nil, badURL(form + "; open a PostgreSQL URL with package pgstore")
	case "sqlite":
		return nil, badURL(form + "; open a SQLite URL with package sqlitestore")
	default:
		if other := dburl.Suggestion(rawURL); other != "" {
			return nil, badURL(form + "; write " + other)
		}
		return nil, badURL(form)
	}
	u, err := url.Parse(canonical)
	if err != nil || u.Opaque != "" || dburl.Misread(canonical) {
		return nil, badURL("it is not a MySQL URL: " + form)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, badURL("its parameters, after the question mark, are not well formed")
	}
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.DBName = strings.TrimPrefix(u.Path, "/")
	if err := parameters(config, query); err != nil {
		return nil, badURL(err.Error())
	}
	switch {
	case config.User == "":
		return nil, badURL("it names no user: " + form)
	case config.DBName == "" || strings.Contains(config.DBName, "/"):
		return nil, badURL("it names no database, or one with a slash: " + form)
	case dialed:
		config.Net, config.Addr = "tcp", net.JoinHostPort("localhost", "3306")
		config.TLSConfig = "" // the dialer encrypts, so the password may be sent as it is
		config.AllowCleartextPasswords = true
	case config.Net == "unix" && u.Host != "":
		return nil, badURL("it names a host and a socket: leave one of them out, as in mysql://user:password@/name?socket=/path")
	case config.Net == "unix":
	case u.Hostname() == "":
		return nil, badURL("it names no host: " + form)
	default:
		config.Net, config.Addr = "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "3306"))
	}
	return config, nil
}

func badURL(text string) error { return &queue.ConfigError{Field: "URL", Text: text} }

// parameters reads the query of the URL.
func parameters(config *mysql.Config, query url.Values) error {
	for name, values := range query {
		if len(values) > 1 {
			return fmt.Errorf("the parameter %s is given twice", name)
		}
		value := values[0]
		var err error
		switch name {
		case "socket":
			if !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "@") {
				return errors.New("socket must be an absolute path")
			}
			config.Net, config.Addr = "unix", value
		case "tls":
			if !slices.Contains([]string{"true", "false", "skip-verify", "preferred"}, value) {
				return errors.New("tls must be true, false, skip-verify or preferred")
			}
			config.TLSConfig = value
		case "timeout":
			config.Timeout, err = time.ParseDuration(value)
		case "readTimeout":
			config.ReadTimeout, err = time.ParseDuration(value)
		case "writeTimeout":
			config.WriteTimeout, err = time.ParseDuration(value)
		default:
			return fmt.Errorf("the parameter %q is not known; known are socket, tls, timeout, readTimeout and writeTimeout", name)
		}
		if err != nil || config.Timeout < 0 || config.ReadTimeout < 0 || config.WriteTimeout < 0 {
			return fmt.Errorf("%s must be a time such as 5s", name)
		}
	}
	return nil
}
