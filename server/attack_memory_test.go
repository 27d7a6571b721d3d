package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// senders is how many strangers send at once; maxResident is what the process may
// then take in MB. It takes about 40 by itself, and took 450 to 900 before it
// identified its callers first.
const (
	senders     = 80
	maxResident = 140
)

// peak is the most memory that the process ever had, in MB.
func (s *procServer) peak() int {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		s.t.Fatalf("no VmHWM in %s", status)
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		s.t.Fatal(err)
	}
	return kilobytes >> 10
}

// flood sends one request from each of many connections at the same time. Each
// holds its last byte back until all have sent the rest, or were refused, and
// whileHeld was called. It returns how often which status came; 0 is none.
func (s *procServer) flood(head string, body []byte, whileHeld func()) map[int]int {
	s.t.Helper()
	var mu sync.Mutex
	statuses := make(map[int]int)
	var sent, done sync.WaitGroup
	held := make(chan struct{})
	for range senders {
		sent.Add(1)
		done.Go(func() {
			status := 0
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err == nil {
				_ = conn.SetDeadline(time.Now().Add(procPatience))
				_, err = conn.Write(append([]byte(head+"\r\n"), body[:max(0, len(body)-1)]...))
			}
			sent.Done()
			<-held
			if conn == nil {
				return
			}
			defer func() { _ = conn.Close() }()
			if err == nil && len(body) > 0 {
				_, _ = conn.Write(body[len(body)-1:])
			}
			// The first bytes of the answer: a connection that was closed with a body
			// on its way may be reset after them.
			line := make([]byte, len("HTTP/1.1 200"))
			if _, err := io.ReadFull(conn, line); err == nil {
				status, _ = strconv.Atoi(string(line[len(line)-3:]))
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
		})
	}
	sent.Wait()
	if whileHeld != nil {
		whileHeld()
	}
	close(held)
	done.Wait()
	return statuses
}

// wantsFlooded checks that only these statuses came, and the memory that it took.
func (s *procServer) wantsFlooded(what string, statuses map[int]int, allowed ...int) {
	s.t.Helper()
	peak := s.peak()
	s.t.Logf("%s: statuses %v, peak %d MB", what, statuses, peak)
	answered := 0
	for _, status := range allowed {
		answered += statuses[status]
	}
	if answered == 0 || answered+statuses[0] != senders {
		s.t.Errorf("%s: statuses %v, want %v", what, statuses, allowed)
	}
	if peak > maxResident {
		s.t.Errorf("%s: the process took %d MB, more than %d", what, peak, maxResident)
	}
}

// wantsConnections opens n connections that send an unfinished head and no more,
// waits until the server has cut off the first one, and checks the memory.
func (s *procServer) wantsConnections(n int, head []byte) {
	s.t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(procPatience))
		if _, err := conn.Write(head); err != nil {
			s.t.Fatal(err)
		}
		conns[i] = conn
	}
	_, _ = io.ReadAll(conns[0])
	if peak := s.peak(); peak > maxResident {
		s.t.Errorf("%d connections: the process took %d MB, more than %d", n, peak, maxResident)
	} else {
		s.t.Logf("%d connections: peak %d MB", n, peak)
	}
}

func posting(path, contentType string, length int, header ...string) string {
	head := "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + contentType + "\r\n"
	if length >= 0 {
		head += "Content-Length: " + strconv.Itoa(length) + "\r\n"
	} else {
		head += "Transfer-Encoding: chunked\r\n"
	}
	for _, line := range header {
		head += line + "\r\n"
	}
	return head
}

// Strangers may send what they like, as many at once as a platform lets through:
// the server reads next to nothing of it, with the pages closed, open to a login,
// and while it verifies signatures.
func TestStrangersDoNotFillTheMemory(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	encoded := bytes.Repeat([]byte("token=%41&"), 4<<20/10)
	multipart := append([]byte("--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n"), bytes.Repeat([]byte("y"), 4<<20)...)
	manyHeaders := strings.Split(strings.TrimSuffix(strings.Repeat("a:\n", 3500), "\n"), "\n")
	for name, c := range map[string]struct {
		env   []string
		paths []string
	}{
		"closed": {[]string{"TASKS_MODE=pull", procToken}, []string{"/admin/act", "/admin/login"}},
		"login": {[]string{"TASKS_MODE=pull", procToken, "ADMIN_TOKEN=" + attackAdminToken},
			[]string{"/admin/act", "/admin/login", "/admin/logout", "/tasks/enqueue/", "/health/live"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := procServe(t, t.TempDir(), c.env, "--migrate")
			for _, path := range c.paths {
				s.wantsFlooded(path+" with a form", s.flood(posting(path, form, len(encoded)), encoded, nil), 200, 303, 401, 403, 413)
				if strings.HasPrefix(path, "/admin/") {
					s.wantsFlooded(path+" with parts", s.flood(posting(path, "multipart/form-data; boundary=x", len(multipart)), multipart, nil), 303, 401, 403, 415)
				}
			}
			s.wantsFlooded("headers", s.flood(posting("/tasks/enqueue/", form, 0, manyHeaders...), nil, nil), 401, 431)
		})
	}
	t.Run("connections", func(t *testing.T) {
		t.Parallel()
		s := procServe(t, t.TempDir(), []string{"TASKS_MODE=pull", procToken}, "--migrate")
		s.wantsConnections(1500, []byte("GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Filler: "+strings.Repeat("x", 15<<10)))
		if reply := s.do(http.MethodGet, "/health/live", ""); reply.status != http.StatusOK {
			t.Errorf("afterwards: %d", reply.status)
		}
	})
	t.Run("signatures", func(t *testing.T) {
		t.Parallel()
		s := procServe(t, t.TempDir(), []string{"TASKS_MODE=pull", procToken, "TASK_HMAC_SECRET=" + attackHMAC}, "--migrate")
		body := bytes.Repeat([]byte("x"), 1<<20)
		signature := []string{httpapi.SignatureHeader + ": " + strings.Repeat("0", 64), httpapi.TimestampHeader + ": " + strconv.FormatInt(time.Now().Unix(), 10)}
		now := time.Now().Unix()
		callers := func() {
			s.enqueue(`{"task":"demo.echo"}`) // with a bearer token
			small := `{"task":"demo.echo"}`
			for range 3 {
				signed := s.do(http.MethodPost, "/tasks/enqueue/", small, httpapi.TimestampHeader, strconv.FormatInt(now, 10), "Authorization", "Bearer x",
					httpapi.SignatureHeader, httpapi.Sign(attackHMAC, now, http.MethodPost, "/tasks/enqueue/", []byte(small)))
				if signed.status != http.StatusCreated {
					t.Errorf("a small signed request beside the flood: %d %s", signed.status, signed.text)
				}
				now--
			}
		}
		for range 3 {
			s.wantsFlooded("signed bodies", s.flood(posting("/tasks/enqueue/", "application/json", len(body), signature...), body, callers), 401, 429)
			signature[0] = strings.Replace(signature[0], "0", "1", 1)
		}
		chunked := append(append([]byte("100000\r\n"), body...), "\r\n0\r\n\r\n"...)
		s.wantsFlooded("chunked bodies", s.flood(posting("/tasks/enqueue/", "application/json", -1, signature...), chunked, nil), 401, 429)
	})
}

// Guesses, from the same machine too, do not lock the operator out.
func TestGuessersDoNotKeepTheOperatorOut(t *testing.T) {
	t.Parallel()
	s := procServe(t, t.TempDir(), []string{"TASKS_MODE=pull", procToken, "ADMIN_TOKEN=" + attackAdminToken}, "--migrate")
	login := func(token string) procReply {
		return s.do(http.MethodPost, "/admin/login", url.Values{"token": {token}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	}
	client := *procClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	stop := make(chan struct{})
	var guessing sync.WaitGroup
	for range 8 {
		guessing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if reply := login("guess"); reply.status != http.StatusUnauthorized && reply.status != http.StatusTooManyRequests {
					t.Errorf("a guess: %d", reply.status)
				}
			}
		})
	}
	procWait(t, "so many guesses that they are limited", func() bool { return login("guess").status == http.StatusTooManyRequests })
	for n := range 30 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/admin/login", strings.NewReader("token="+attackAdminToken))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusSeeOther || len(response.Cookies()) != 1 {
			t.Errorf("login %d of the operator: %d", n, response.StatusCode)
		}
	}
	close(stop)
	guessing.Wait()
}
