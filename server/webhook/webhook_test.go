package webhook

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is an HTTP server that answers with the given statuses in turn, and
// keeps the requests.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	header   http.Header // of every answer
	got      []*http.Request
	bodies   [][]byte
}

func newReceiver(t *testing.T, statuses ...int) *receiver {
	r := &receiver{statuses: statuses, header: http.Header{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.bodies = append(r.got, req), append(r.bodies, body)
		for name, values := range r.header {
			w.Header()[name] = values
		}
		status := r.statuses[min(len(r.got), len(r.statuses))-1]
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

// host is the receiver's host name, for Config.AllowHosts.
func (r *receiver) host() string {
	u, _ := url.Parse(r.URL)
	return u.Hostname()
}

// deliver runs webhook.deliver through a whole system until it has ended, or
// after one attempt.
func deliver(t *testing.T, secret string, allow []string, args any, attempts int) *queue.Row {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	task, err := New(Config{Secret: secret, AllowHosts: allow})
	if err != nil {
		t.Fatal(err)
	}
	client, err := queue.NewClient(queue.Config{
		Store: store, Registry: queue.NewRegistry(task), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	executor, err := queue.NewExecutor(client, queue.ExecutorConfig{})
	if err != nil {
		t.Fatal(err)
	}
	handle, err := client.Enqueue(t.Context(), "webhook.deliver", args)
	if err != nil {
		t.Fatal(err)
	}
	row := handle.Row
	for range attempts {
		run, err := executor.RunByID(t.Context(), handle.ID, queue.RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		row = run.Row
	}
	return row
}

func TestWebhookIsDeliveredSignedOnceTheReceiverTakesIt(t *testing.T) {
	r := newReceiver(t, 500, 503, 204)
	file := filepath.Join(t.TempDir(), "order.json")
	if err := os.WriteFile(file, []byte(`{"order": 12345678901234567890123, "name": "Zoë <b>"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	row := deliver(t, testSecret, []string{r.host()}, Args{URL: r.URL + "/hook", Body: body, Headers: map[string]string{"X-Shop": "1"}}, 3)
	if row.Status != queue.StatusSuccessful || row.Attempts != 3 || len(row.Errors) != 2 {
		t.Fatalf("%+v", row)
	}
	var result Result
	if err := json.Unmarshal(row.ReturnValue, &result); err != nil || result.Status != 204 {
		t.Errorf("%s, %v", row.ReturnValue, err)
	}
	verifier, err := standardwebhooks.NewWebhook(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	for i, request := range r.got {
		if request.Method != "POST" || request.URL.Path != "/hook" || request.Header.Get("Content-Type") != "application/json" || request.Header.Get("X-Shop") != "1" {
			t.Errorf("attempt %d: %s %s %v", i+1, request.Method, request.URL, request.Header)
		}
		if string(r.bodies[i]) != `{"order":12345678901234567890123,"name":"Zoë <b>"}` {
			t.Errorf("attempt %d: body %s", i+1, r.bodies[i])
		}
		if id := request.Header.Get("Webhook-Id"); id != row.ID.String() {
			t.Errorf("attempt %d: message ID %s, want the task's on every attempt", i+1, id)
		}
		if err := verifier.Verify(r.bodies[i], request.Header); err != nil {
			t.Errorf("attempt %d: %v", i+1, err)
		}
	}
}

func TestWebhookWithoutSecretIsUnsigned(t *testing.T) {
	r := newReceiver(t, 200)
	deliver(t, "", []string{r.host()}, Args{URL: r.URL}, 1)
	if len(r.got) != 1 || r.got[0].Header.Get("Webhook-Signature") != "" || r.got[0].Header.Get("Webhook-Id") == "" || string(r.bodies[0]) != "null" {
		t.Errorf("%v %s", r.got[0].Header, r.bodies)
	}
}

func TestConfigErrorsNameTheField(t *testing.T) {
	for want, cfg := range map[string]Config{
		"webhook: Config.Secret: must be whsec_ followed by base64":   {Secret: "whsec_***"},
		`webhook: Config.AllowHosts: "http://x" is no host: it takes`: {AllowHosts: []string{"a", "http://x"}},
		`webhook: Config.AllowHosts: "10.0.0.0/8" is no host`:         {AllowHosts: []string{"10.0.0.0/8"}},
		`webhook: Config.AllowHosts: "a:0" is no host`:                {AllowHosts: []string{"a:0"}},
		`webhook: Config.AllowHosts: "" is no host`:                   {AllowHosts: []string{""}},
	} {
		_, err := New(cfg)
		var wrong *ConfigError
		if !errors.As(err, &wrong) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

func TestWebhookAnswersThatComeAgainAndThoseThatDoNot(t *testing.T) {
	for status, want := range map[int]queue.Status{
		200: queue.StatusSuccessful, 202: queue.StatusSuccessful, 299: queue.StatusSuccessful,
		408: queue.StatusReady, 425: queue.StatusReady, 429: queue.StatusReady, 500: queue.StatusReady, 599: queue.StatusReady,
		301: queue.StatusFailed, 307: queue.StatusFailed, 400: queue.StatusFailed, 401: queue.StatusFailed, 404: queue.StatusFailed, 410: queue.StatusFailed,
	} {
		elsewhere := newReceiver(t, 200)
		r := newReceiver(t, status)
		r.header.Set("Location", elsewhere.URL)
		row := deliver(t, "", []string{r.host()}, Args{URL: r.URL}, 1)
		if row.Status != want {
			t.Errorf("%d: row is %s, want %s", status, row.Status, want)
		}
		if len(elsewhere.got) != 0 {
			t.Errorf("%d: the redirect was followed", status)
		}
	}
	gone := newReceiver(t, 200)
	gone.Close()
	row := deliver(t, "", []string{gone.host()}, Args{URL: gone.URL + "/services/SEKRET?token=SEKRET"}, 1)
	if row.Status != queue.StatusReady {
		t.Errorf("nothing listens: row is %s, want another attempt", row.Status)
	}
	if e := row.Errors[0]; strings.Contains(e.Message+e.Traceback, "SEKRET") || !strings.Contains(e.Message, gone.host()) {
		t.Errorf("the record shows the URL's secrets, or not the host: %+v", e)
	}
}

func TestWebhookHonoursRetryAfterUpToADay(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "nonsense": 0, "0": 0, "-5": 0, "90": 90 * time.Second, "86400": 24 * time.Hour, "99999999999": 24 * time.Hour, "99999999999999999999": 24 * time.Hour, "-99999999999999999999": 0, "1e9": 0,
		"Fri, 02 Jan 2026 03:06:05 GMT": 2 * time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0, "Sat, 02 Jan 2027 03:06:05 GMT": 24 * time.Hour,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("Retry-After %q: %s, want %s", value, got, want)
		}
	}
	r := newReceiver(t, 429)
	r.header.Set("Retry-After", "3600")
	row := deliver(t, "", []string{r.host()}, Args{URL: r.URL}, 1)
	if wait := time.Until(row.RunAfter); row.Status != queue.StatusReady || wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("%s, runs after %s", row.Status, wait)
	}
}

func TestWebhookReadsNoMoreThanAMebibyte(t *testing.T) {
	sent := make(chan int64, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var n int64
		block := make([]byte, 64<<10)
		for n < 64<<20 {
			written, err := w.Write(block)
			n += int64(written)
			if err != nil {
				break
			}
		}
		sent <- n
	}))
	defer server.Close()
	u, _ := url.Parse(server.URL)
	row := deliver(t, "", []string{u.Hostname()}, Args{URL: server.URL}, 1)
	if n := <-sent; row.Status != queue.StatusSuccessful || n > 16<<20 {
		t.Errorf("%s after the receiver could send %d bytes", row.Status, n)
	}
}

func TestWebhookRefusesBadArgumentsForGood(t *testing.T) {
	r := newReceiver(t, 200)
	for _, args := range []Args{
		{}, {URL: "ftp://example.com/"}, {URL: "example.com"}, {URL: "http://"}, {URL: "https:///x"}, {URL: "http://[::1"},
		{URL: r.URL, Headers: map[string]string{"Host": "x"}}, {URL: r.URL, Headers: map[string]string{"hOST": "x"}},
		{URL: r.URL, Headers: map[string]string{"Webhook-ID": "x"}}, {URL: r.URL, Headers: map[string]string{"webhook-anything": "x"}},
		{URL: r.URL, Headers: map[string]string{"a b": "x"}}, {URL: r.URL, Headers: map[string]string{"a": "x\r\nb: y"}},
	} {
		row := deliver(t, "", []string{r.host()}, args, 1)
		if row.Status != queue.StatusFailed || row.Attempts != 1 {
			t.Errorf("%+v: %s", args, row.Status)
		}
	}
	if len(r.got) != 0 {
		t.Errorf("something was sent: %v", r.got)
	}
}

func TestWebhookReachesNoPrivateAddress(t *testing.T) {
	r := newReceiver(t, 200)
	port := r.URL[strings.LastIndex(r.URL, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "[fd00:ec2::254]"} {
		row := deliver(t, "", nil, Args{URL: "http://" + host + port}, 1)
		if row.Status == queue.StatusSuccessful {
			t.Errorf("%s was reached", host)
		}
		if row.Status != queue.StatusFailed || !strings.Contains(row.Errors[0].Message, "not a public address") {
			t.Errorf("%s: %s", host, row.Errors[0].Message)
		}
	}
	if len(r.got) != 0 {
		t.Errorf("%d requests got through", len(r.got))
	}
	if row := deliver(t, "", []string{"LOCALHOST"}, Args{URL: "http://localhost" + port}, 1); row.Status != queue.StatusSuccessful {
		t.Errorf("the allowed host: %+v", row.Errors)
	}
}

func TestPublicAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700:4700::1111": true, "192.0.1.1": true,
		"10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "127.0.0.2": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.1.2.3": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"198.18.0.1": false, "192.0.2.1": false, "203.0.113.9": false,
		"::1": false, "::": false, "fe80::1": false, "fd00:ec2::254": false, "ff02::1": false, "::ffff:10.0.0.1": false,
		"64:ff9b::a00:1": false, "2002:a00:1::": false, "2001:db8::1": false,
		"::127.0.0.1": false, "::ffff:0:127.0.0.1": false, "::ffff:0:8.8.8.8": false, "100::1": false, "100:0:0:1::1": false,
		"3fff::1": false, "192.88.99.1": false, "192.31.196.1": false, "192.52.193.1": false, "192.175.48.1": false, "198.51.100.1": false,
		"192.0.0.9": false, "64:ff9b:1::1": false, "2001::1": false, "2001:2::1": false, "2001:10::1": false, "2001:20::1": false, "2001:30::1": false,
		"2620:4f:8000::1": false, "5f00::1": false, "fec0::1": false, "4000::1": false, "::ffff:169.254.169.254": false, "fe80::1%eth0": false,
		"::ffff:8.8.8.8": true, "2a00:1450:4001::200e": true, "203.0.114.1": true, "100.63.255.255": true, "100.128.0.1": true,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("public(%s) = %t, want %t", address, got, want)
		}
	}
}
