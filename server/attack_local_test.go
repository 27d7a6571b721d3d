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
)

// Where a developer's server is open to programs on the machine, a hostile page
// in the browser is the attacker.
func TestNoPageInABrowserGetsPastALocalServer(t *testing.T) {
	f := newFortress(t, "--tasks-mode=local")
	page := func(pairs ...string) http.Header {
		header := http.Header{"User-Agent": {"Mozilla/5.0"}}
		for i := 0; i < len(pairs); i += 2 {
			header.Set(pairs[i], pairs[i+1])
		}
		return header
	}
	attacks := []attack{
		{name: "link or image of another site", header: page("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image")},
		{name: "navigation from another site", header: page("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-User", "?1")},
		{name: "fetch of another site with a forged Origin", header: page("Sec-Fetch-Site", "cross-site", "Origin", "http://localhost:8080")},
		{name: "old browser, no fetch metadata", header: page("Origin", "https://evil.example")},
		{name: "page on another port of this machine", header: page("Sec-Fetch-Site", "same-site", "Origin", "http://localhost:3000")},
		{name: "form on another port of this machine", header: page("Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Origin", "http://localhost:3000")},
		{name: "old browser, page on another port", header: page("Origin", "http://localhost:3000")},
		{name: "sandboxed frame", header: page("Origin", "null")},
		{name: "origin that looks local", header: page("Origin", "http://localhost.evil.example")},
		{name: "origin that is no URL", header: page("Origin", "http://[evil")},
		{name: "forwarded by a proxy", header: page("X-Forwarded-For", "203.0.113.7")},
		{name: "forwarded by a proxy, as RFC 7239 says", header: page("Forwarded", "for=203.0.113.7")},
	}
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json", "application/octet-stream"} {
		attacks = append(attacks,
			attack{name: "form as " + contentType, header: page("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example", "Content-Type", contentType)},
			attack{name: "old browser's form as " + contentType, header: page("Origin", "https://evil.example", "Content-Type", contentType)})
	}
	for _, host := range []string{
		"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example:8080", "127.0.0.1@evil.example",
		"localhost:8080.evil.example", "10.0.0.5:8080", "169.254.169.254", "0.0.0.0:8080", "[::]:8080", "[fe80::1]", "xn--lcalhost-54a",
	} {
		attacks = append(attacks, attack{name: "rebound name " + host, host: host, header: page("Sec-Fetch-Site", "same-origin", "Origin", "http://"+host)})
	}
	for i := range attacks {
		attacks[i].status = http.StatusForbidden
	}
	f.storm(f.endpoints(nil), attacks, "hidden")

	r := httptest.NewRequest(http.MethodGet, "http://localhost:8080/tasks/purge/?dry_run=true", nil)
	w := httptest.NewRecorder()
	if f.handler.ServeHTTP(w, overLoopback(r)); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"count":1`) {
		t.Errorf("a program on the machine: %d %s", w.Code, w.Body)
	}
}

// pipes is a listener without a network, for a bubble.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error { return nil }
func (p pipes) Addr() net.Addr {
	return &net.TCPAddr{}
}

// A client that announces a body and does not send it holds a connection for 15 s
// at most, stranger or not, and nothing is done for it.
func TestClientsThatSendNoBodyAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFortress(t, "--tasks-mode=pull", "--task-api-token="+attackToken)
		listener := make(pipes)
		server := &http.Server{Handler: f.handler, ReadHeaderTimeout: time.Second}
		go func() { _ = server.Serve(listener) }()
		defer func() { close(listener); _ = server.Close() }()
		for _, credentials := range []string{"", "Authorization: Bearer " + attackToken + "\r\n"} {
			for _, endpoint := range f.endpoints(authorization("Bearer " + attackToken)) {
				if credentials != "" && endpoint.method == http.MethodGet {
					continue // it needs no body, so it is done
				}
				client, conn := net.Pipe()
				listener <- conn
				begun := time.Now()
				go func() { // what the server does not read blocks
					_, _ = io.WriteString(client, endpoint.method+" "+endpoint.path+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"+credentials+"\r\n{")
				}()
				answer, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					t.Errorf("%s: %v", endpoint, err)
					continue
				}
				body, _ := io.ReadAll(answer.Body)
				_ = client.Close()
				if took := time.Since(begun); took > 16*time.Second {
					t.Errorf("%s: held for %s", endpoint, took)
				}
				if credentials == "" && answer.StatusCode != http.StatusUnauthorized || answer.StatusCode < 400 || answer.StatusCode >= 500 {
					t.Errorf("%s: %d %s", endpoint, answer.StatusCode, body)
				}
			}
		}
		f.untouched()
	})
}

func TestClientsThatSendNoHeaderAreCutOff(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST /tasks/enqueue/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(procPatience))
	if text, err := io.ReadAll(conn); err != nil || strings.Contains(string(text), " 20") {
		t.Errorf("%q, %v", text, err)
	}
	s.enqueue(`{"task":"demo.echo"}`)
}
