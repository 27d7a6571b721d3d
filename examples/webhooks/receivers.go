package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// secrets of the tenants, which their servers know, too.
var secrets = map[string]string{
	"acme":    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", // accepts
	"globex":  "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", // is down for the first two
	"initech": "whsec_plJ3nmyCDGBKInavdOK15jsl7eqhtgHW", // does not want any more, until it is repaired
}

// receivers are the servers of the tenants, on loopback.
type receivers struct {
	addr string
	out  io.Writer

	mu       sync.Mutex
	calls    map[string]int
	repaired map[string]bool
	received []string // what was accepted
}

func startReceivers(out io.Writer) (*receivers, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receivers{addr: listener.Addr().String(), out: out, calls: make(map[string]int), repaired: make(map[string]bool)}
	mux := http.NewServeMux()
	mux.Handle("POST /{tenant}", r)
	go func() { _ = (&http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}).Serve(listener) }()
	return r, nil
}

// tenants returns the tenants with the URLs of their servers.
func (r *receivers) tenants() (tenants, error) {
	all := make(tenants)
	for name, secret := range secrets {
		if err := all.add(name, "http://"+r.addr+"/"+name, secret, r.addr); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (r *receivers) repair(tenant string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repaired[tenant] = true
}

// ServeHTTP verifies and answers a webhook, as a tenant's server does.
func (r *receivers) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	tenant := request.PathValue("tenant")
	body, err := io.ReadAll(request.Body)
	verifier, secretErr := standardwebhooks.NewWebhook(secrets[tenant])
	if err != nil || secretErr != nil || verifier.Verify(body, request.Header) != nil {
		http.Error(w, "bad signature", http.StatusUnauthorized)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[tenant]++
	status := http.StatusNoContent
	switch {
	case r.repaired[tenant]:
	case tenant == "globex" && r.calls[tenant] <= 2:
		status = http.StatusServiceUnavailable
	case tenant == "initech":
		status = http.StatusGone
	}
	if status == http.StatusNoContent {
		r.received = append(r.received, tenant+" "+string(body))
	}
	fmt.Fprintf(r.out, "%s answers %d to %s\n", tenant, status, body)
	w.WriteHeader(status)
}

func (r *receivers) accepted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.received...)
}
