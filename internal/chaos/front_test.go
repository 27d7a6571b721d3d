package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// front is one address for many workers: it forwards requests to them in turn.
type front struct {
	*httptest.Server
	transport *http.Transport

	mu      sync.Mutex
	workers []string          // their URLs; empty while one is down
	next    int               // the worker of the next request
	ends    map[string]string // the final statuses that answers reported, by task
	refused int               // answers that reported a lost claim
}

// frontTimeout is how long the front waits for an answer, as a platform's request
// timeout does.
const frontTimeout = 4 * time.Second

func newFront(workers int) *front {
	f := &front{workers: make([]string, workers), ends: make(map[string]string), transport: &http.Transport{MaxIdleConnsPerHost: 50}}
	f.Server = httptest.NewServer(f)
	return f
}

// set sets the address of a worker; an empty one means that it is down.
func (f *front) set(worker int, url string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers[worker] = url
}

// turn returns the address of the next worker; empty when all are down.
func (f *front) turn() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range f.workers {
		f.next = (f.next + 1) % len(f.workers)
		if url := f.workers[f.next]; url != "" {
			return url
		}
	}
	return ""
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, header, body, err := f.forward(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	f.record(body)
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// forward sends the request to a worker.
func (f *front) forward(r *http.Request) (status int, header http.Header, body []byte, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), frontTimeout)
	defer cancel()
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, f.turn()+r.URL.RequestURI(), bytes.NewReader(sent))
	if err != nil {
		return 0, nil, nil, err
	}
	request.Header = r.Header
	response, err := f.transport.RoundTrip(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, response.Header, body, err
}

// record stores the final status that an answer reports, which the row must have.
func (f *front) record(body []byte) {
	var answer struct {
		Reason    string
		Executed  bool
		Cancelled bool
		Result    struct{ ID, Status string }
	}
	if json.Unmarshal(body, &answer) != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if (answer.Executed || answer.Cancelled) && final(answer.Result.Status) {
		f.ends[answer.Result.ID] = answer.Result.Status
	}
	if strings.Contains(answer.Reason, "claim was lost") {
		f.refused++
	}
}

// close ends the front and its connections.
func (f *front) close() {
	f.Close()
	f.transport.CloseIdleConnections()
}
