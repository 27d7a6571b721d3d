package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// googleCertsURL is Google's JSON Web Key Set, and the address that idtoken asks for.
const googleCertsURL = "https://www.googleapis.com/oauth2/v3/certs"

// When keys are fetched, and how long they serve.
const (
	// The keys are used without asking for what Cache-Control: max-age grants (less
	// Age), within these bounds. Google grants some hours and publishes a new key long
	// before it signs with it.
	minFresh     = time.Minute
	maxFresh     = 24 * time.Hour
	defaultFresh = time.Hour // without max-age
	// After that they are fetched again; while that fails they serve on, this long.
	maxStale = 24 * time.Hour
	// Between two fetches, whatever unknown keys the tokens name meanwhile.
	fetchPause = 10 * time.Second
	// The same as long as there are no keys at all.
	firstPause = time.Second

	fetchTimeout = 5 * time.Second
	maxKeySet    = 256 << 10 // bytes; Google's has about 1.5 KiB
)

// keySource holds the public keys of the issuer. Fetching happens on demand only, one
// at a time: on serverless platforms nothing runs reliably between requests.
type keySource struct {
	url    string
	parse  func(body []byte) (map[string][]byte, error)
	client *http.Client
	logger *slog.Logger
	now    func() time.Time

	mu       sync.Mutex
	keys     map[string][]byte // kid → key set holding only that key
	fresh    time.Time         // until then no fetch is needed
	next     time.Time         // before then no fetch is started
	failed   bool              // the last fetch
	fetching chan struct{}     // closed at the end of the running fetch; nil: none runs
}

func newKeySource(certs string, parse func([]byte) (map[string][]byte, error), client *http.Client, logger *slog.Logger, now func() time.Time) (*keySource, error) {
	u, err := url.Parse(certs)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, &ConfigError{Field: "Config.CertsURL", Text: fmt.Sprintf("is %q, which is not an http or https URL", certs)}
	}
	var own http.Client
	if client != nil {
		own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &keySource{url: certs, parse: parse, client: &own, logger: logger, now: now}, nil
}

// find returns the key set that holds only the key kid. Not finding it is a bad
// credential if the keys are up to date, otherwise the keys are unavailable.
func (s *keySource) find(ctx context.Context, kid string) ([]byte, error) {
	s.mu.Lock()
	now := s.now()
	key, known := s.keys[kid]
	if known && now.Before(s.fresh) {
		s.mu.Unlock()
		return key, nil
	}
	started := s.fetching == nil && !now.Before(s.next)
	if started {
		s.fetching = make(chan struct{})
		// Not the caller's context: other callers wait for the same fetch.
		go s.refresh(context.WithoutCancel(ctx), s.fetching)
	}
	fetching, stale := s.fetching, known && now.Before(s.fresh.Add(maxStale))
	s.mu.Unlock()
	if stale && !started {
		return key, nil // one caller waits for the endpoint, that is enough
	}
	var waitErr error
	if fetching != nil {
		select {
		case <-fetching:
		case <-ctx.Done():
			waitErr = ctx.Err()
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.now().Before(s.fresh.Add(maxStale))
	if key, ok := s.keys[kid]; ok && held {
		return key, nil
	}
	if !held || s.failed || waitErr != nil {
		return nil, &Error{kind: ErrKeysUnavailable, text: "the keys to verify the token with are not available now", cause: waitErr}
	}
	return nil, unauthenticated("token is signed with an unknown key")
}

// refresh fetches once and takes the result over. A failure keeps the old keys.
func (s *keySource) refresh(ctx context.Context, done chan struct{}) {
	keys, age, err := s.fetch(ctx)
	s.mu.Lock()
	now := s.now()
	s.failed = err != nil
	if err == nil {
		s.keys, s.fresh = keys, now.Add(age)
	}
	pause := fetchPause
	if s.keys == nil {
		pause = firstPause
	}
	s.next, s.fetching = now.Add(pause), nil
	s.mu.Unlock()
	close(done)
	if err != nil {
		// Logged here because no caller need notice: old keys may serve on.
		s.logger.WarnContext(ctx, "oidc: fetching the verification keys failed", "url", s.url, "error", err)
	}
}

// fetch gets the key set and how long it stays fresh.
func (s *keySource) fetch(ctx context.Context) (keys map[string][]byte, fresh time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil { // in this goroutine it would end the process
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, 0, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("status %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxKeySet+1))
	if err != nil {
		return nil, 0, err
	}
	if len(body) > maxKeySet {
		return nil, 0, errors.New("key set is too large")
	}
	keys, err = s.parse(body)
	return keys, freshness(response.Header), err
}

// freshness reads how long a response may be used without asking again.
func freshness(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		seconds, err := strconv.Atoi(strings.Trim(value, `"`))
		if err != nil {
			break
		}
		age, _ := strconv.Atoi(h.Get("Age")) // absent or malformed: 0
		seconds = min(seconds, int(maxFresh/time.Second)) - max(age, 0)
		return max(time.Duration(seconds)*time.Second, minFresh)
	}
	return defaultFresh
}
