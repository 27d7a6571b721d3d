package mysqlstore

import (
	"net/url"
	"strings"
	"testing"
)

// Whatever characters a password has, and wherever they make the URL's parts
// begin and end: it is not in the error, nor in what messages name (address,
// database and user), and it arrives as it is where it was encoded.
func FuzzDatabaseURL(f *testing.F) {
	const marker = "Xq7Secret"
	f.Add("", "", "db.example", "tasks", "")
	f.Add("/", "?#", "db.example:3306", "tasks", "tls=true")
	f.Add("?", "@", "db", "", "tls="+marker)
	f.Add("12/", "`", "[::1]:3306", "a/b", "timeout=x&readTimeout=-1s")
	f.Add("#", "%zz", "db:port", "tasks", "a=b&a=c")
	f.Add("?", "=1&"+marker, "db", "tasks", "%zz")
	f.Add("a@12/", "%40", "", "", "socket=/tmp/socket&writeTimeout=1h")
	f.Fuzz(func(t *testing.T, before, after, host, name, query string) {
		if strings.Contains(host+name+query, marker) {
			return
		}
		password := before + marker + after
		encoded := strings.ReplaceAll(url.QueryEscape(password), "+", "%20")
		for _, written := range []string{password, encoded, url.PathEscape(password)} {
			raw := "mysql://app:" + written + "@" + host + "/" + name + "?" + query
			config, err := parseURL(raw, false)
			if err != nil {
				if strings.Contains(err.Error(), marker) || strings.ContainsAny(err.Error(), "\r\n") || !strings.Contains(err.Error(), "Config.URL") {
					t.Errorf("%q: %q", raw, err)
				}
				continue
			}
			if said := config.Addr + " " + config.DBName + " " + config.User; strings.Contains(said, marker) {
				t.Errorf("%q: messages would say %q", raw, said)
			}
			if written == encoded && config.Passwd != password {
				t.Errorf("%q: the password is %q", raw, config.Passwd)
			}
		}
	})
}
