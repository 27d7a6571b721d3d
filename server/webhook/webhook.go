// Package webhook is the task webhook.deliver: it POSTs a JSON body to a URL, signed
// as the Standard Webhooks specification says, until the receiver accepts it.
//
// The caller of Enqueue chooses the URL, so what is inside the network must not be
// reachable that way: only public addresses are dialed, except under the hosts in
// [Config].AllowHosts, and redirects are not followed.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/net/http/httpguts"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Args are the arguments of [Deliver].
type Args struct {
	URL string `json:"url"` // http or https
	// Body is sent as it is; empty means null.
	Body json.RawMessage `json:"body"`
	// Headers are added to the request. Host and names that begin with webhook-
	// are refused.
	Headers map[string]string `json:"headers"`
}

// Result is what [Deliver] returns.
type Result struct {
	Status     int   `json:"status"` // of the receiver's answer
	DurationMS int64 `json:"duration_ms"`
}

// Deliver declares the task, with eight attempts of up to 30 seconds. A program
// that only enqueues registers Deliver; one that runs the task registers what
// [New] returns. The task succeeds with a 2xx answer. It is retried after 408, 425,
// 429, 5xx and network errors, not before the time of a Retry-After header (at most
// 24 hours ahead). Any other answer fails it.
var Deliver = queue.Declare[Args, Result]("webhook.deliver",
	queue.MaxAttempts(8), queue.Timeout(30*time.Second))

// Limits of a delivery.
const (
	maxAnswer     = 1 << 20 // bytes read of the receiver's answer
	maxRetryAfter = 24 * time.Hour
)

// Config configures [New].
type Config struct {
	// Secret signs the requests: whsec_ followed by base64. Empty leaves them
	// unsigned.
	Secret string
	// AllowHosts are hosts that may be reached although their addresses are not
	// public: names or addresses, each with or without a port, such as
	// hooks.internal, 10.0.0.7:8080 or ::1.
	AllowHosts []string
}

// ConfigError is a field of [Config] that cannot be used. Its text does not contain
// the secret.
type ConfigError struct {
	Field string // Secret or AllowHosts
	Text  string // what is wrong, and what the field accepts
}

func (e *ConfigError) Error() string { return "webhook: Config." + e.Field + ": " + e.Text }

// New returns [Deliver] with its function. The error is a *[ConfigError].
func New(cfg Config) (queue.Definition, error) {
	s, err := NewSender(cfg)
	if err != nil {
		return nil, err
	}
	return Deliver.Handle(s.Send), nil
}

// Sender sends webhooks in a task of the program's own: with its limits, or with a secret
// for each receiver. It is safe for concurrent use. Make one with [NewSender].
type Sender struct {
	client *http.Client
	signer *standardwebhooks.Webhook // nil: unsigned
}

// NewSender makes a [Sender]. The error is a *[ConfigError].
func NewSender(cfg Config) (*Sender, error) {
	if err := checkHosts(cfg.AllowHosts); err != nil {
		return nil, err
	}
	s := &Sender{client: &http.Client{
		Transport: guardedTransport(cfg.AllowHosts),
		// A redirect leads to a place that the caller of Enqueue did not name.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if cfg.Secret == "" {
		return s, nil
	}
	signer, err := standardwebhooks.NewWebhook(cfg.Secret)
	if err != nil {
		return nil, &ConfigError{Field: "Secret", Text: "must be whsec_ followed by base64"}
	}
	s.signer = signer
	return s, nil
}

// Send sends one webhook, once. ctx is that of the running task, whose ID becomes that of
// the message. The error says what follows: another attempt after 408, 425, 429, 5xx and
// network errors, not before the time of a Retry-After header; none after any other answer.
func (s *Sender) Send(ctx context.Context, args Args) (Result, error) {
	request, err := s.request(ctx, args)
	if err != nil {
		return Result{}, queue.Discard(err)
	}
	started := time.Now()
	response, err := s.client.Do(request)
	if err != nil {
		var blocked *blockedAddressError
		if errors.As(err, &blocked) {
			return Result{}, queue.Discard(blocked)
		}
		var failed *url.Error // its text holds the URL, which may be a secret
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return Result{}, fmt.Errorf("POST to %s: %w", request.URL.Host, err)
	}
	defer func() { _ = response.Body.Close() }()
	// Only the status matters; reading the body lets the connection be reused.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
	return Result{
		Status:     response.StatusCode,
		DurationMS: time.Since(started).Milliseconds(),
	}, outcome(response, time.Now())
}

// outcome turns the receiver's answer into the attempt's outcome.
func outcome(response *http.Response, now time.Time) error {
	status := response.StatusCode
	if status/100 == 2 {
		return nil
	}
	err := fmt.Errorf("the receiver answered %d %s", status, http.StatusText(status))
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly,
		status == http.StatusTooManyRequests, status >= 500:
		if wait := retryAfter(response.Header.Get("Retry-After"), now); wait > 0 {
			return queue.RetryAt(now.Add(wait), err)
		}
		return err
	default:
		return queue.Discard(err)
	}
}

// retryAfter parses the header of that name, seconds or a date, into a wait of at
// most 24 hours; 0 when the value is neither or has passed.
func retryAfter(value string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		wait = time.Duration(min(seconds, int64(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// request builds the signed POST.
func (s *Sender) request(ctx context.Context, args Args) (*http.Request, error) {
	target, err := url.Parse(args.URL)
	if err != nil || target.Scheme != "https" && target.Scheme != "http" || target.Host == "" {
		return nil, fmt.Errorf("url must be an http or https URL, not %.200q", args.URL)
	}
	body := []byte(args.Body)
	if len(body) == 0 {
		body = []byte("null")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, args.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("url %.200q: %w", args.URL, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "claimcheck-webhook")
	for name, value := range args.Headers {
		lower := strings.ToLower(name)
		if lower == "host" || strings.HasPrefix(lower, "webhook-") {
			return nil, fmt.Errorf("headers: %q cannot be given", name)
		}
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("headers: %.100q is not a valid header", name)
		}
		request.Header.Set(name, value)
	}
	return request, s.sign(ctx, request, body)
}

// sign adds the headers of the Standard Webhooks specification. The message's ID
// is the task's, the same on every attempt, so that a receiver can detect repeats.
func (s *Sender) sign(ctx context.Context, request *http.Request, body []byte) error {
	info, _ := queue.InfoFrom(ctx)
	now := time.Now()
	request.Header.Set(standardwebhooks.HeaderWebhookID, info.ID.String())
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	if s.signer == nil {
		return nil
	}
	signature, err := s.signer.Sign(info.ID.String(), now, body)
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return err
}
