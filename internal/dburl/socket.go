package dburl

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// Forms of a Unix socket in place of host and port.
var (
	socketFile = regexp.MustCompile(`^(/.*)/\.s\.PGSQL\.(\d+)$`)
	inCloudSQL = regexp.MustCompile(`^(.*/cloudsql/[^/]+)/\.s\.MYSQL(\.\d+)?$`)
	mysqlUnix  = regexp.MustCompile(`^unix\((/[^)]*)\)$`)
	instance   = regexp.MustCompile(`/cloudsql/[^/]*:[^/]*:[^/]*$`)
)

var errNoName = errors.New("the URL names a socket and no database: put /NAME after the socket")

// Canonical returns the URL in the one form that the stores' drivers parse: schemes
// that mean the same (postgresql, mariadb) are postgres and mysql, and a Unix
// socket is the parameter host, or socket for MySQL:
//
//	postgres://user:password@//cloudsql/P:R:I/name
//	postgres://user:password@%2Fcloudsql%2FP:R:I/name
//	postgres://user:password@/name?host=/cloudsql/P:R:I/.s.PGSQL.5432
//	mysql://user:password@unix(/cloudsql/P:R:I)/name
//	mysql://user:password@/name?unix_socket=/cloudsql/P:R:I
//
// Any other URL is returned unchanged; the driver reports what it does not
// understand.
func Canonical(rawURL string) (string, error) {
	scheme, rest, found := strings.Cut(rawURL, "://")
	if !found {
		return rawURL, nil
	}
	parameter := "host"
	switch scheme {
	case "postgres", "postgresql":
		scheme = "postgres"
	case "mysql", "mariadb":
		scheme, parameter = "mysql", "socket"
	default:
		return rawURL, nil
	}
	rawURL = scheme + "://" + rest
	if Misread(rawURL) {
		return rawURL, nil
	}
	rest, query, _ := strings.Cut(rest, "?")
	user, location, found := strings.Cut(rest, "@")
	if !found {
		user, location = "", rest
	}
	socket, port, name, found, err := splitSocket(location)
	if err != nil {
		return "", err
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return rawURL, nil //nolint:nilerr // the driver reports it
	}
	if !found {
		return fromParameters(rawURL, scheme, user, location, values), nil
	}
	for _, other := range []string{"host", "socket", "unix_socket"} {
		if values.Has(other) {
			return "", errors.New("the URL names a socket twice, before the database and in the parameter " + other + ": leave one of them out")
		}
	}
	values.Set(parameter, socket)
	if port != "" {
		values.Set("port", port)
	}
	return canonical(scheme, user, "/"+name, values), nil
}

// splitSocket splits what follows the @, if it is a socket and the name of a
// database.
func splitSocket(location string) (socket, port, name string, found bool, err error) {
	if strings.HasPrefix(location, "//") {
		location = location[1:]
		slash := strings.LastIndexByte(location, '/')
		socket, name = location[:slash], location[slash+1:]
		if socket == "" || name == "" || strings.HasPrefix(name, ".s.") || instance.MatchString(location) {
			return "", "", "", false, errNoName
		}
		if socket, err = url.PathUnescape(socket); err != nil {
			return "", "", "", false, nil //nolint:nilerr // the driver reports it
		}
		return socket, "", name, true, nil
	}
	host := location
	if strings.HasPrefix(location, "unix(") {
		end := strings.IndexByte(location, ')') + 1
		host, name = location[:end], location[end:]
	} else if slash := strings.IndexByte(location, '/'); slash >= 0 {
		host, name = location[:slash], location[slash:]
	}
	if match := mysqlUnix.FindStringSubmatch(host); match != nil {
		socket = match[1]
	} else if strings.HasPrefix(strings.ToUpper(host), "%2F") {
		if colon := strings.LastIndexByte(host, ':'); colon >= 0 && isNumber(host[colon+1:]) {
			host, port = host[:colon], host[colon+1:]
		}
		if socket, err = url.PathUnescape(host); err != nil {
			return "", "", "", false, nil //nolint:nilerr // the driver reports it
		}
	} else {
		return "", "", "", false, nil
	}
	if len(name) < 2 {
		return "", "", "", false, errNoName
	}
	return socket, port, name[1:], true, nil
}

// fromParameters corrects the parameters alone.
func fromParameters(rawURL, scheme, user, location string, values url.Values) string {
	before, host, path := values.Encode(), location, ""
	if slash := strings.IndexByte(location, '/'); slash >= 0 {
		host, path = location[:slash], location[slash:]
	}
	if scheme == "mysql" {
		if socket, known := values["unix_socket"]; known && !values.Has("socket") {
			values["socket"] = socket
			values.Del("unix_socket")
		}
		if values.Has("socket") && (host == "localhost" || strings.HasPrefix(host, "localhost:")) {
			host = "" // to MySQL's programs, localhost is the socket
		}
	}
	corrected := canonical(scheme, user, host+path, values)
	if values.Encode() == before && host+path == location {
		return rawURL
	}
	return corrected
}

// canonical builds a URL from its parts. A driver requires the directory of
// PostgreSQL's socket, and Cloud SQL's socket of MySQL is no directory.
func canonical(scheme, user, location string, values url.Values) string {
	if match := socketFile.FindStringSubmatch(values.Get("host")); match != nil && scheme == "postgres" {
		values.Set("host", match[1])
		values.Set("port", match[2])
	}
	if match := inCloudSQL.FindStringSubmatch(values.Get("socket")); match != nil && scheme == "mysql" {
		values.Set("socket", match[1])
	}
	if user != "" {
		user += "@"
	}
	text := scheme + "://" + user + location
	if len(values) > 0 {
		text += "?" + values.Encode()
	}
	return text
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
