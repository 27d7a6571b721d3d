package sqlstore

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/claimcheck-go/claimcheck/internal/dburl"
)

const mysqlForm = "it must look like mysql://user:password@host:3306/name, with special characters in the password percent-encoded (@ as %40, / as %2F, ? as %3F, # as %23)"

// parseMySQL reads a mysql: URL. Its parameters are:
//
//	socket        path of a Unix socket, in place of host and port; also
//	              unix_socket, or //path/name or unix(path)/name after the @
//	tls           true, false, skip-verify, or preferred
//	timeout       for making a connection, such as 5s
//	readTimeout   for an answer of the server, for one network read
//	writeTimeout  for one network write
//
// With a dialer the URL needs no host. No error quotes the URL, which may
// contain the password.
func parseMySQL(rawURL string, dialed bool) (*mysql.Config, error) {
	rawURL, err := dburl.Canonical(rawURL)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "mysql" || u.Opaque != "" || dburl.Misread(rawURL) {
		return nil, errors.New("DATABASE_URL is not a MySQL URL: " + mysqlForm)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("DATABASE_URL: its parameters, after the question mark, are not well formed")
	}
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.DBName = strings.TrimPrefix(u.Path, "/")
	if err := mysqlParameters(config, query); err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	switch {
	case config.User == "":
		return nil, errors.New("DATABASE_URL names no user: " + mysqlForm)
	case config.DBName == "" || strings.Contains(config.DBName, "/"):
		return nil, errors.New("DATABASE_URL names no database, or one with a slash: " + mysqlForm)
	case dialed:
		config.Net, config.Addr = "tcp", net.JoinHostPort("localhost", "3306")
		config.TLSConfig = "" // the dialer encrypts, so the password may be sent as it is
		config.AllowCleartextPasswords = true
	case config.Net == "unix" && u.Host != "":
		return nil, errors.New("DATABASE_URL names a host and a socket: leave one of them out, as in mysql://user:password@/name?socket=/path")
	case config.Net == "unix":
	case u.Hostname() == "":
		return nil, errors.New("DATABASE_URL names no host: " + mysqlForm)
	default:
		port := u.Port()
		if port == "" {
			port = "3306"
		}
		config.Net, config.Addr = "tcp", net.JoinHostPort(u.Hostname(), port)
	}
	return config, nil
}

func mysqlParameters(config *mysql.Config, query url.Values) error {
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
