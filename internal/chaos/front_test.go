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

// front is one address for many workers: it passes requests on to them in turn.
type front struct {
	*httptest.Server
	transport *http.Transport

	mu      sync.Mutex
	workers []string          // their URLs; empty while one is down
	next    int               // whose turn it is
	ends    map[string]string // what answers said has become of tasks for good
	refused int               // answers that said that a claim was lost
}

// patience is how long the front waits for an answer, as a platform's request
// timeout does.
const patience = 4 * time.Second

func newFront(workers int) *front {
	f := &front{workers: make([]string, workers), ends: make(map[string]string), transport: &http.Transport{MaxIdleConnsPerHost: 50}}
	f.Server = httptest.NewServer(f)
	return f
}

// set says where a worker is.
func (f *front) set(worker int, url string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.workers[worker] = url
}

// turn is the worker whose turn it is; empty when all are down.
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
	f.note(body)
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// forward makes the same request of a worker.
func (f *front) forward(r *http.Request) (status int, header http.Header, body []byte, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
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

// note remembers what an answer promises: a row that was said to have ended, did.
func (f *front) note(body []byte) {
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
