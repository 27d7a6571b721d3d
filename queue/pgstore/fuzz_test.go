package pgstore_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// A password with any characters, which may change where the parts of the URL begin
// and end, is neither in the error nor in the parts that messages name (host, database
// and user), and it is used unchanged where it was encoded.
func FuzzDatabaseURL(f *testing.F) {
	const marker = "Xq7Secret"
	f.Add("", "", "db.example", "tasks", "")
	f.Add("/", "?#", "db.example:5432", "tasks", "sslmode=disable")
	f.Add("?", "@", "db", "", "sslmode="+marker)
	f.Add("12/", "`", "[::1]:5432", "a/b", "connect_timeout=x&pool_max_conns=-1")
	f.Add("#", "%zz", "db:port", "tasks", "password="+marker)
	f.Add("a@", "&x=' ", "a,b", "tasks", "passfile=/nowhere&sslrootcert=/nowhere")
	f.Add("a@12/", "%40", "", "", "host=/cloudsql/p:r:i&statement_timeout=1")
	f.Fuzz(func(t *testing.T, before, after, host, name, query string) {
		if strings.Contains(host+name, marker) {
			return
		}
		password := before + marker + after
		encoded := strings.ReplaceAll(url.QueryEscape(password), "+", "%20")
		for _, written := range []string{password, encoded, url.PathEscape(password)} {
			raw := "postgres://app:" + written + "@" + host + "/" + name + "?" + query
			if err := (pgstore.Config{URL: raw}).Validate(); err != nil {
				if strings.Contains(err.Error(), marker) || strings.ContainsAny(err.Error(), "\r\n") || !strings.Contains(err.Error(), "Config.URL") {
					t.Errorf("%q: %q", raw, err)
				}
				continue
			}
			config, err := pgxpool.ParseConfig(raw)
			if err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			conn := config.ConnConfig
			if said := conn.Host + " " + conn.Database + " " + conn.User; strings.Contains(said, marker) {
				t.Errorf("%q: messages would say %q", raw, said)
			}
			if written == encoded && conn.Password != password && !strings.Contains(query, "password") {
				t.Errorf("%q: the password is %q", raw, conn.Password)
			}
		}
	})
}
