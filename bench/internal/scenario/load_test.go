package scenario

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claimcheck-go/claimcheck/bench/internal/probe"
)

// The sender starts, and connects, before anything is measured: no request comes
// before the start.
func TestSenderWaitsForTheStart(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token" {
			requests.Add(1)
		}
	}))
	defer server.Close()
	fromParent, toSender := io.Pipe()
	fromSender, toParent := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- serve(json.NewDecoder(fromParent), json.NewEncoder(toParent)) }()
	in, out := json.NewDecoder(fromSender), json.NewEncoder(toSender)

	l := load{
		Address: server.Listener.Addr().String(), Header: http.Header{"Authorization": {"Bearer token"}},
		IDs: strings.Fields("a b c d e f"), Connections: 2,
	}
	if err := out.Encode(l); err != nil {
		t.Fatal(err)
	}
	if err := await(in, ready); err != nil {
		t.Fatal(err)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests came before the start", n)
	}
	if err := out.Encode(start); err != nil {
		t.Fatal(err)
	}
	if err := await(in, done); err != nil {
		t.Fatal(err)
	}
	if n := requests.Load(); n != 6 {
		t.Errorf("%d requests came before the end, want 6", n)
	}
	var result sent
	if err := in.Decode(&result); err != nil || len(result.Times) != 6 || result.Took <= 0 {
		t.Errorf("got %+v, %v", result, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestExchangeMeasuresFromStartToEnd(t *testing.T) {
	m, err := probe.NewMeter(t.Context(), 0, "")
	if err != nil {
		t.Fatal(err)
	}
	l := load{IDs: []string{"a", "b"}}
	answers := json.NewDecoder(strings.NewReader(`"ready" "done" {"Took": 1, "Times": [1, 2]}`))
	sent, f, err := l.exchange(t.Context(), m, json.NewEncoder(io.Discard), answers)
	if err != nil || len(sent.Times) != 2 || f["per_s"] == 0 {
		t.Errorf("got %v, %v, %v", sent, f, err)
	}
	early := json.NewDecoder(strings.NewReader(`"done"`))
	if _, _, err := l.exchange(t.Context(), m, json.NewEncoder(io.Discard), early); err == nil {
		t.Error("a sender that was never ready was accepted")
	}
}
