package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestAnyOfExplainsTheCredentialSent: with several ways in, the refusal is about
// the credential that the request carried.
func TestAnyOfExplainsTheCredentialSent(t *testing.T) {
	auth := AnyOf(HMAC("a shared secret", 1<<20), BearerToken("a token"))
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for _, c := range []struct {
		name    string
		headers map[string]string
		want    string
	}{
		{"a wrong signature", map[string]string{SignatureHeader: strings.Repeat("ab", 32), TimestampHeader: now}, "the signature does not match"},
		{"an old timestamp", map[string]string{SignatureHeader: strings.Repeat("ab", 32), TimestampHeader: "1"}, "must be Unix seconds"},
		{"no timestamp", map[string]string{SignatureHeader: strings.Repeat("ab", 32)}, "one " + TimestampHeader},
		{"no credential", nil, "Authorization: Bearer"},
		{"a wrong token", map[string]string{"Authorization": "Bearer x"}, "bearer token"},
		{"a wrong token and a wrong signature", map[string]string{"Authorization": "Bearer x", SignatureHeader: strings.Repeat("ab", 32), TimestampHeader: now}, "bearer token"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/tasks/status/", nil)
		for name, value := range c.headers {
			r.Header.Set(name, value)
		}
		if err := auth.Authenticate(r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
