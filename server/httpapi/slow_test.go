package httpapi_test

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// deadlines is a ResponseWriter that notes its read deadline.
type deadlines struct {
	*httptest.ResponseRecorder
	read time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = t
	return nil
}

func TestBodyHasATimeLimitUntilItWasRead(t *testing.T) {
	a := newAPI(t, nil)
	serve := func(method, target, body string) *deadlines {
		client, server := net.Pipe()
		defer func() { _ = client.Close(); _ = server.Close() }()
		go func() { // a real request: its body is not at hand at once
			r := httptest.NewRequest(method, target, nil)
			text := method + " " + r.URL.RequestURI() + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n" + body
			_, _ = client.Write([]byte(text))
			_ = client.Close()
		}()
		r, err := http.ReadRequest(bufio.NewReader(server))
		if err != nil {
			t.Fatal(err)
		}
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		a.handler.ServeHTTP(w, r)
		return w
	}
	whole := `{"task":"t.echo"`
	for len(whole) < 99 {
		whole += " "
	}
	if w := serve("POST", "/tasks/enqueue/", whole+"}"); w.Code != 201 || !w.read.IsZero() {
		t.Errorf("a whole body: %d, deadline %s", w.Code, w.read)
	}
	for _, target := range []string{"/tasks/enqueue/", "/tasks/unknown/"} {
		if w := serve("POST", target, `{"task`); w.Code < 400 || w.read.IsZero() {
			t.Errorf("%s with a part of a body: %d, deadline %s", target, w.Code, w.read)
		}
	}
}
