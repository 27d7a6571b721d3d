package server

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

// webhookArgs are the arguments of webhook.deliver.
type webhookArgs struct {
	URL     string            `json:"url"`
	Body    json.RawMessage   `json:"body"`
	Headers map[string]string `json:"headers"`
}

// webhookResult is what webhook.deliver returns.
type webhookResult struct {
	Status     int   `json:"status"`
	DurationMS int64 `json:"duration_ms"`
}

// webhookDeliver POSTs a JSON body to a URL. It is declared without its
// function, which needs settings that are known only at start.
var webhookDeliver = queue.Declare[webhookArgs, webhookResult]("webhook.deliver",
	queue.MaxAttempts(8), queue.Timeout(30*time.Second))

// Limits of webhook.deliver.
const (
	maxWebhookAnswer = 1 << 20 // bytes read of the receiver's answer
	maxRetryAfter    = 24 * time.Hour
)

// webhook delivers webhooks. It is safe for concurrent use.
type webhook struct {
	client *http.Client
	signer *standardwebhooks.Webhook // nil: unsigned
}

// newWebhook makes a webhook that signs with secret, if there is one, and
// reaches private addresses only under the names in allowHosts.
func newWebhook(secret string, allowHosts []string) (*webhook, error) {
	w := &webhook{client: &http.Client{
		Transport: guardedTransport(allowHosts),
		// Whoever is redirected has been sent somewhere that nobody checked.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if secret == "" {
		return w, nil
	}
	signer, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, errors.New("must be whsec_ followed by base64")
	}
	w.signer = signer
	return w, nil
}

// deliver is the task. 2xx succeeds; 408, 425, 429, 5xx and network errors are
// tried again; any other answer will not get better.
func (w *webhook) deliver(ctx context.Context, args webhookArgs) (webhookResult, error) {
	request, err := w.request(ctx, args)
	if err != nil {
		return webhookResult{}, queue.Discard(err)
	}
	started := time.Now()
	response, err := w.client.Do(request)
	if err != nil {
		var blocked *blockedAddressError
		if errors.As(err, &blocked) {
			return webhookResult{}, queue.Discard(blocked)
		}
		var failed *url.Error // its text holds the URL, which may be a secret
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return webhookResult{}, fmt.Errorf("POST to %s: %w", request.URL.Host, err)
	}
	defer func() { _ = response.Body.Close() }()
	// What the receiver says beyond its status does not matter; reading it lets
	// the connection be used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxWebhookAnswer))
	return webhookResult{
		Status:     response.StatusCode,
		DurationMS: time.Since(started).Milliseconds(),
	}, judge(response, time.Now())
}

// judge turns the receiver's answer into the attempt's outcome.
func judge(response *http.Response, now time.Time) error {
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

// retryAfter reads the header of that name: seconds or a date; 0 when it says
// nothing usable, 24 hours at most.
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
func (w *webhook) request(ctx context.Context, args webhookArgs) (*http.Request, error) {
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
	return request, w.sign(ctx, request, body)
}

// sign adds the headers of the Standard Webhooks specification. The message's ID
// is the task's, the same on every attempt, so that a receiver can tell repeats.
func (w *webhook) sign(ctx context.Context, request *http.Request, body []byte) error {
	info, _ := queue.InfoFrom(ctx)
	now := time.Now()
	request.Header.Set(standardwebhooks.HeaderWebhookID, info.ID.String())
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	if w.signer == nil {
		return nil
	}
	signature, err := w.signer.Sign(info.ID.String(), now, body)
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return err
}
