package detect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/compute/metadata"
)

// metadataBudget bounds what one Detector spends on the metadata server over its
// life. A healthy server answers within milliseconds; a blackholed one would hold
// the client for 14 s and more.
const metadataBudget = 1500 * time.Millisecond

// metadataAddress is where the metadata server is on Google Cloud. The number, not
// the name, because the name depends on the resolver.
const metadataAddress = "169.254.169.254"

var errMetadataSilent = fmt.Errorf("the metadata server did not answer within %v: %w", metadataBudget, context.DeadlineExceeded)

// metadataCache asks for each path once and remembers the answer, failures
// included. Callers wait for each other, at most for what is left of the budget.
type metadataCache struct {
	ask func(ctx context.Context, path string) (string, error)

	mu    sync.Mutex
	left  time.Duration
	known map[string]metadataAnswer
}

type metadataAnswer struct {
	text string
	err  error
}

func newMetadataCache(ask func(context.Context, string) (string, error)) *metadataCache {
	return &metadataCache{ask: ask, left: metadataBudget, known: make(map[string]metadataAnswer)}
}

func (m *metadataCache) get(ctx context.Context, path string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a, ok := m.known[path]; ok {
		return a.text, a.err
	}
	if m.left <= 0 {
		return "", errMetadataSilent
	}
	bounded, cancel := context.WithTimeout(ctx, m.left)
	defer cancel()
	start := time.Now()
	text, err := m.ask(bounded, path)
	m.left -= time.Since(start)
	text = strings.TrimSpace(text)
	switch {
	case err != nil && ctx.Err() != nil:
		// The caller gave up: that says nothing about the server, so it is not remembered.
		return "", fmt.Errorf("metadata %s: %w", path, ctx.Err())
	case err != nil && bounded.Err() != nil:
		err = errMetadataSilent
	case err != nil:
		err = fmt.Errorf("metadata %s: %w", path, err)
	case text == "":
		err = fmt.Errorf("metadata %s is empty", path)
	}
	m.known[path] = metadataAnswer{text: text, err: err}
	return text, err
}

// fromMetadata asks the metadata server, if there is reason to believe in one.
func (d *Detector) fromMetadata(ctx context.Context, path string) (Found, error) {
	if d.Platform() == None && d.getenv("GCE_METADATA_HOST") == "" {
		return Found{}, errors.New("no variable says that this is Cloud Run or App Engine, so the metadata server was not asked")
	}
	text, err := d.metadata.get(ctx, path)
	if err != nil {
		return Found{}, err
	}
	return Found{Value: text, Source: "metadata " + path}, nil
}

// newMetadataClient returns a client of the library that talks to host. The
// library itself reads GCE_METADATA_HOST from the process; redirecting the
// requests instead keeps an injected environment whole.
func newMetadataClient(host string) *metadata.Client {
	if host == "" {
		host = metadataAddress
	}
	// No proxy, as in the library, and no connection kept: there are five requests at most.
	transport := &http.Transport{DisableKeepAlives: true}
	return metadata.NewClient(&http.Client{Transport: sendTo{host: host, next: transport}})
}

// sendTo is an http.RoundTripper that sends every request to one host.
type sendTo struct {
	host string
	next http.RoundTripper
}

func (s sendTo) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host, r.Host = s.host, s.host
	return s.next.RoundTrip(r)
}
