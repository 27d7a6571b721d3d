package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

const pipelined = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"

// large answers more than a connection holds; slow ones take half an hour.
func largeOrSlow(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow" {
		time.Sleep(30 * time.Minute)
	}
	_, _ = io.WriteString(w, strings.Repeat("x", 256<<10))
}

// Without a network nothing is buffered: a peer that takes nothing is noticed at
// its first answer.
func TestPeersThatTakeNothingAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := make(pipes)
		server := newHTTPServer(http.HandlerFunc(largeOrSlow))
		go func() { _ = server.Serve(limitWrites(listener, writeTime)) }()
		defer func() { close(listener); _ = server.Close() }()
		dial := func() net.Conn {
			client, conn := net.Pipe()
			listener <- conn
			return client
		}

		for name, first := range map[string]int{"nothing": 0, "the beginning": 100 << 10} {
			client := dial()
			begun := time.Now()
			go func() { _, _ = io.CopyN(io.Discard, client, int64(first)) }()
			for { // what the server does not read blocks
				if _, err := io.WriteString(client, pipelined); err != nil {
					break
				}
			}
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("a peer that took %s was held for %s", name, took)
			}
		}

		client := dial()
		begun := time.Now()
		if _, err := client.Read(make([]byte, 1)); err == nil || time.Since(begun) > time.Minute {
			t.Errorf("a peer that asks for nothing was held for %s: %v", time.Since(begun), err)
		}

		// Neither a function that runs for half an hour nor a slow line ends a connection.
		client = dial()
		go func() { _, _ = io.WriteString(client, strings.Replace(pipelined, "large", "slow", 1)) }()
		answer, err := http.ReadResponse(bufio.NewReaderSize(client, 16), nil)
		if err != nil {
			t.Fatal(err)
		}
		total, buffer := 0, make([]byte, 8<<10)
		for err == nil {
			var n int
			n, err = io.ReadFull(answer.Body, buffer)
			total += n
			time.Sleep(10 * time.Second)
		}
		if total != 256<<10 {
			t.Errorf("%d bytes, then %v", total, err)
		}
		_ = client.Close()
	})
}

// The same over TCP, whose buffers fill first.
func TestPipeliningPeersAreCutOff(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newHTTPServer(http.HandlerFunc(largeOrSlow))
	closed := make(chan struct{}, 1)
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	go func() { _ = server.Serve(limitWrites(inner, 100*time.Millisecond)) }()
	defer func() { _ = server.Close() }()
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	go func() {
		for {
			if _, err := io.WriteString(client, pipelined); err != nil {
				return
			}
		}
	}()
	select {
	case <-closed:
	case <-time.After(procPatience):
		t.Error("the connection is open for ever")
	}
}

func TestClientAddresses(t *testing.T) {
	cloudRun := map[string]string{"K_SERVICE": "api", "K_REVISION": "api-1", "K_CONFIGURATION": "api"}
	appEngine := map[string]string{"GAE_APPLICATION": "s~p", "GAE_ENV": "standard", "GAE_SERVICE": "default", "GAE_VERSION": "1", "GAE_INSTANCE": "x"}
	for name, c := range map[string]struct {
		env    map[string]string
		header http.Header
		want   string
	}{
		"no proxy":                      {nil, nil, "192.0.2.1"},
		"no proxy, forged headers":      {nil, http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Appengine-User-Ip": {"203.0.113.8"}}, "192.0.2.1"},
		"Cloud Run":                     {cloudRun, http.Header{"X-Forwarded-For": {"203.0.113.7"}}, "203.0.113.7"},
		"Cloud Run, forged hops":        {cloudRun, http.Header{"X-Forwarded-For": {"127.0.0.1, 10.0.0.1,203.0.113.7"}}, "203.0.113.7"},
		"Cloud Run, a forged header":    {cloudRun, http.Header{"X-Forwarded-For": {"127.0.0.1", "10.0.0.1, 2001:db8::7"}}, "2001:db8::7"},
		"Cloud Run, App Engine's":       {cloudRun, http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Appengine-User-Ip": {"203.0.113.8"}}, "203.0.113.7"},
		"Cloud Run, nothing":            {cloudRun, nil, "invalid IP"},
		"Cloud Run, nonsense":           {cloudRun, http.Header{"X-Forwarded-For": {"203.0.113.7, unknown"}}, "invalid IP"},
		"App Engine":                    {appEngine, http.Header{"X-Appengine-User-Ip": {"203.0.113.8"}, "X-Forwarded-For": {"203.0.113.7"}}, "203.0.113.8"},
		"App Engine, a forwarded hop":   {appEngine, http.Header{"X-Forwarded-For": {"203.0.113.7"}}, "invalid IP"},
		"Cloud Run, the empty last one": {cloudRun, http.Header{"X-Forwarded-For": {"203.0.113.7,"}}, "invalid IP"},
	} {
		p := &program{own: Config{Tasks: testTasks}, known: testRegistry, config: &config.Config{Settings: &config.Settings{}, Env: c.env}}
		r := httptest.NewRequest(http.MethodPost, "/admin/login", nil) // from 192.0.2.1
		for key, values := range c.header {
			r.Header[key] = values
		}
		if got := p.clientAddress()(r).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
