package oidc

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestRequire(t *testing.T) {
	token := sign(t, good(time.Now()))
	other := sign(t, but(good(time.Now()), "email", "evil@evil.example"))
	for _, tc := range []struct {
		name   string
		header http.Header
		broken bool // the key endpoint
		status int
	}{
		{name: "good", header: http.Header{"Authorization": {"Bearer " + token}}, status: 204},
		{name: "scheme in other case", header: http.Header{"Authorization": {"bEARER " + token}}, status: 204},
		{name: "two blanks", header: http.Header{"Authorization": {"Bearer  " + token}}, status: 204},
		{name: "no credentials", status: 401},
		{name: "spoofed task headers", status: 401, header: http.Header{
			"X-Cloudtasks-Queuename": {"default"}, "X-Cloudtasks-Taskname": {"1"}, "X-Appengine-Queuename": {"default"}, "X-Appengine-Cron": {"true"},
			"X-Serverless-Authorization": {"Bearer " + token}, "X-Goog-Authenticated-User-Email": {account}, "X-Forwarded-For": {"127.0.0.1"},
		}},
		{name: "empty", header: http.Header{"Authorization": {""}}, status: 401},
		{name: "scheme alone", header: http.Header{"Authorization": {"Bearer "}}, status: 401},
		{name: "token alone", header: http.Header{"Authorization": {token}}, status: 401},
		{name: "basic", header: http.Header{"Authorization": {"Basic " + token}}, status: 401},
		{name: "header twice", header: http.Header{"Authorization": {"Bearer " + token, "Bearer " + token}}, status: 401},
		{name: "two tokens in one", header: http.Header{"Authorization": {"Bearer " + token + ", Bearer " + token}}, status: 401},
		{name: "shared secret", header: http.Header{"Authorization": {"Bearer s3cret"}}, status: 401},
		{name: "other account", header: http.Header{"Authorization": {"Bearer " + other}}, status: 403},
		{name: "no keys", header: http.Header{"Authorization": {"Bearer " + token}}, broken: true, status: 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEndpoint()
			if tc.broken {
				e.answer = down
			}
			h := Require(newVerifier(t, e))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if identity, ok := FromContext(r.Context()); !ok || identity.Email != account {
					t.Errorf("identity %v, %v", identity, ok)
				}
				w.WriteHeader(http.StatusNoContent)
			}))
			r := httptest.NewRequest(http.MethodPost, "/tasks/execute/1/", nil)
			r.Header = tc.header
			if r.Header == nil {
				r.Header = http.Header{}
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tc.status {
				t.Fatalf("status %d, want %d: %s", w.Code, tc.status, w.Body)
			}
			if tc.status == 204 {
				return
			}
			var body struct{ Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error == "" {
				t.Errorf("body %q: %v", w.Body, err)
			}
			for name, want := range map[string]bool{"WWW-Authenticate": tc.status == 401, "Retry-After": tc.status == 503} {
				if (w.Header().Get(name) != "") != want {
					t.Errorf("%s: %q", name, w.Header().Get(name))
				}
			}
			if w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type %q", w.Header().Get("Content-Type"))
			}
		})
	}
}

func TestAuthenticate(t *testing.T) {
	v := newVerifier(t, newEndpoint())
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if err := v.Authenticate(r); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("error %v", err)
	}
	r.Header.Set("Authorization", "Bearer "+sign(t, good(time.Now())))
	if err := v.Authenticate(r); err != nil {
		t.Error(err)
	}
	if _, ok := FromContext(r.Context()); ok {
		t.Error("an identity without Require")
	}
}

func TestRequireNeedsAVerifier(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Require(nil) returned")
		}
	}()
	Require(nil)
}
