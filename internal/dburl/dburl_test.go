package dburl_test

import (
	"testing"

	"github.com/claimcheck-go/claimcheck/internal/dburl"
)

func TestMisread(t *testing.T) {
	for url, want := range map[string]bool{
		"postgres://u:p@h/db":                              false,
		"postgres://u:p%40%2F%3F%23@h:5432/db?sslmode=x":   false,
		"postgres://u@h":                                   false,
		"postgres:///db?host=/cloudsql/p:r:i&user=a@b.iam": false,
		"postgres://u:p@/db%40x?application_name=a@b":      false,
		"mysql://u:p@/db?socket=/run/mysql&timeout=5s":     false,
		"":                         false,
		"postgres://u:/p@h/db":     true,
		"postgres://u:1/p@h/db":    true,
		"postgres://u:?p@h/db":     true,
		"postgres://u:?a=p@h/db":   true,
		"postgres://u:#p@h/db":     true,
		"postgres://u:a@/p@h/db":   true,
		"postgres://u:a@b@h/db":    true,
		"mysql://u:a@12/p?#@h/db":  true,
		"mysql://u:a@12?b=c#@h/db": true,
	} {
		if got := dburl.Misread(url); got != want {
			t.Errorf("%s: %v, want %v", url, got, want)
		}
	}
}
