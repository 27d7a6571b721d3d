package httpapi_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// Any ID, query and body on any route: no panic, no 5xx except for a task that
// failed, and an answer as openapi.json describes it.
func FuzzRoutes(f *testing.F) {
	a := newAPI(f, nil)
	id := a.enqueue(`{"task":"t.echo"}`)
	routes := httpapi.RouteList()
	for i := range routes {
		n := uint8(i)
		f.Add(n, id, "", "")
		f.Add(n, id, "fail_on_error=true&allow_retry=true&days=1&batch_size=9&status=FAILED,x&dry_run=true&limit=3&queue_name=q", `{"limit":1}`)
		f.Add(n, "00000000-0000-0000-0000-000000000000", "days=-1&limit=1e3&backend_name=%00&status=;", `{"max_tasks":101,"queue_name":null}`)
		f.Add(n, "../"+id, "%zz=%&&=&a;b", `{"days":0.5,"dry_run":"yes"}`)
		f.Add(n, strings.ToUpper(id), "limit=9223372036854775808", `{"task":"t.echo","args":{"a":1e400},"id":"`+id+`"}`)
		f.Add(n, "\xff", "days=36501", "{\"task\":\"t.typed\",\"args\":\"\xc0\",\"run_after\":\"9999-12-31T23:59:59+23:59\"}")
	}
	f.Fuzz(func(t *testing.T, route uint8, id, query, body string) {
		if strings.Contains(body, "t.block") {
			return // it would wait for a test that is not there
		}
		method, path, _ := strings.Cut(routes[int(route)%len(routes)], " ")
		target := strings.ReplaceAll(path, "{task_id}", url.PathEscape(id)) + "?" + query
		if _, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n"))); err != nil {
			return // it is not even a request
		}
		own := *a
		own.t = t
		got := own.do(method, target, body)
		if _, ran := got.body["executed"]; got.status >= 500 && !ran {
			t.Errorf("%s %s %q: %d %s", method, target, body, got.status, got.text)
		}
		if got.status >= 300 && got.status < 400 {
			t.Errorf("%s %s: a redirect, %d", method, target, got.status)
		}
	})
}

// Only the right signature is accepted, whatever the two headers hold, and a refusal
// does not reveal the secret.
func FuzzHMAC(f *testing.F) {
	const secret = "hmac-secret-0123456789"
	now := time.Now().Unix()
	right := httpapi.Sign(secret, now, "POST", "/tasks/run/?a=1", []byte("{}"))
	f.Add(right, int64(0), "", "{}")
	f.Add(strings.ToUpper(right), int64(1), "", "{}")
	f.Add("", int64(-301), "+1", "")
	f.Add(right+"00", int64(301), "\n", "{}")
	f.Add("0x", int64(9223372036854775807), "99999999999999999999", "x")
	f.Add("\x00", int64(0), "NaN", strings.Repeat("x", 300))
	f.Fuzz(func(t *testing.T, signature string, off int64, stamp, body string) {
		if stamp == "" {
			stamp = strconv.FormatInt(time.Now().Unix()+off, 10)
		}
		auth := httpapi.HMAC(secret, 200)
		r := httptest.NewRequest(http.MethodPost, "/tasks/run/?a=1", strings.NewReader(body))
		r.Header[httpapi.SignatureHeader], r.Header[httpapi.TimestampHeader] = []string{signature}, []string{stamp}
		err := auth.Authenticate(r)
		at, stampErr := strconv.ParseInt(stamp, 10, 64)
		isRight := stampErr == nil && signature == httpapi.Sign(secret, at, http.MethodPost, "/tasks/run/?a=1", []byte(body))
		if err == nil && !isRight {
			t.Errorf("signature %q at %q of %q was accepted", signature, stamp, body)
		}
		if err != nil {
			status := err.(interface{ HTTPStatus() int }).HTTPStatus()
			tooLarge := status == http.StatusRequestEntityTooLarge && len(body) > 200
			if status != http.StatusUnauthorized && !tooLarge || strings.Contains(err.Error(), secret) {
				t.Errorf("%v: %d", err, status)
			}
			return
		}
		if rest, _ := io.ReadAll(r.Body); string(rest) != body {
			t.Errorf("the handler reads %q of %q", rest, body)
		}
		if auth.Authenticate(r) == nil {
			t.Error("the signature was accepted twice")
		}
	})
}
