package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
)

// handlerChecks are those of the handler's URL, from outside.
func (d *Diagnosis) handlerChecks() []Check {
	skip := d.noCloudTasks()
	handler := []string{"TASK_HANDLER_URL", "TASK_HANDLER_PATH"}
	audience := Check{Name: "audience", Skip: skip, Needs: append(handler[:2:2], "OIDC_AUDIENCE"), Look: d.checkAudience}
	if d.target != nil && d.target.Tasks.AppEngine != nil {
		audience.Skip = "App Engine's deliveries carry no token"
	}
	return []Check{
		audience,
		{Name: "handler", Skip: skip, Needs: handler, Look: d.checkHandler},
		{Name: "strangers", Skip: skip, Needs: append(handler[:2:2], "handler"), Look: d.checkStrangers},
		{Name: "clock", Skip: skip, Needs: []string{"handler"}, Look: d.checkClock},
	}
}

// handlerOrigin returns scheme and host of the handler; empty: it has none.
func (d *Diagnosis) handlerOrigin(ctx context.Context) string {
	if d.target != nil && d.target.Tasks.AppEngine != nil {
		origin, _ := d.detector.HandlerOrigin(ctx)
		return origin.Value
	}
	u, err := url.Parse(d.config.Settings.TaskHandlerURL)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// checkAudience compares the audience of tokens with the URL that they go to,
// which is what Cloud Run's IAM accepts. That is the service's own URL, without
// a traffic tag.
func (d *Diagnosis) checkAudience(ctx context.Context) Finding {
	origin, first := d.handlerOrigin(ctx), firstIn(d.target.Audiences)
	untagged := cloudtasks.WithoutTag(origin)
	switch {
	case first == untagged:
		return Okf("%s, that of the handler", first)
	case first == origin:
		return Warnf("OIDC_AUDIENCE="+untagged, "%s is the URL of a traffic tag, for which Cloud Run's IAM accepts no tokens", first)
	case slices.Contains(d.target.Audiences, untagged):
		return Warnf(fmt.Sprintf("OIDC_AUDIENCE=%s,%s", untagged, first), "tokens carry %s, the first, though the handler is at %s", first, untagged)
	}
	return Warnf("OIDC_AUDIENCE="+untagged, "tokens carry %q, but the handler is at %s: Cloud Run's IAM accepts that only as a custom audience", first, untagged)
}

// answer is the response to one request.
type answer struct {
	status int
	header http.Header
	body   string
}

// fromServer reports whether this program answered, and not what is in front of it.
func (a answer) fromServer() bool { return strings.HasPrefix(strings.TrimSpace(a.body), `{"error":`) }

// by returns what answered.
func (a answer) by() string {
	if a.fromServer() {
		return "the server itself"
	}
	return "what is in front of the server, such as Cloud Run's IAM"
}

// request sends a request without credentials.
func (d *Diagnosis) request(ctx context.Context, method, address string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("User-Agent", "claimcheck-doctor")
	response, err := d.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	return answer{response.StatusCode, response.Header, string(body)}, err
}

// checkHandler calls the liveness probe, and keeps the time of its answer.
func (d *Diagnosis) checkHandler(ctx context.Context) Finding {
	origin := d.handlerOrigin(ctx)
	if origin == "" {
		return Skipf("App Engine finds it by service and version")
	}
	live, asked := origin+"/health/live", time.Now()
	got, err := d.request(ctx, http.MethodGet, live)
	fix := "deploy the server there, or correct TASK_HANDLER_URL"
	if err != nil {
		return Failf(fix, "GET %s: %s", live, err)
	}
	if at, err := http.ParseTime(got.header.Get("Date")); err == nil {
		// It is truncated to whole seconds, and so half a second early on average.
		d.skew = clockReading{at.Add(500 * time.Millisecond), asked, time.Now()}
	}
	switch status := got.status; {
	case status == http.StatusOK:
		return Okf("GET %s: 200", live)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Okf("GET %s: %d from what is in front of the server, such as Cloud Run's IAM, which this request cannot pass", live, status)
	case status >= 300 && status < 400:
		return Failf("let TASK_HANDLER_URL begin with "+strings.TrimSuffix(got.header.Get("Location"), "/health/live")+", not with "+origin, "GET %s is redirected (%d); Cloud Tasks counts that as a failure", live, status)
	case status == http.StatusNotFound:
		return Failf(fix, "GET %s: 404, so another program answers there, or the service or its traffic tag no longer exists", live)
	default:
		return Failf("look at the log of the server", "GET %s: %d", live, status)
	}
}

// checkStrangers tries to run a task that does not exist, without credentials.
func (d *Diagnosis) checkStrangers(ctx context.Context) Finding {
	target := strings.Replace(d.config.Settings.TaskHandlerURL, "{task_id}", uuid.NewString(), 1)
	if d.target.Tasks.AppEngine != nil {
		target = d.handlerOrigin(ctx) + strings.Replace(d.config.Settings.TaskHandlerPath, "{task_id}", uuid.NewString(), 1)
	}
	got, err := d.request(ctx, http.MethodPost, target)
	if err != nil {
		return Failf("", "POST %s: %s", target, err)
	}
	switch status := got.status; {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Okf("refused with %d by %s", status, got.by())
	case status < 300, status == http.StatusNotFound && got.fromServer(), status == http.StatusConflict:
		return Failf("do not serve this until it requires credentials: set OIDC_SERVICE_ACCOUNT_EMAIL where it runs, and remove any proxy that adds its own",
			"POST %s without credentials: %d, so every caller may run tasks", target, status)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status >= 300 && status < 400:
		return Failf("let TASK_HANDLER_URL (or TASK_HANDLER_PATH) be the same where the server runs", "POST %s: %d, so no handler is there", target, status)
	default:
		return Failf("look at the log of the server", "POST %s without credentials: %d, which neither admits nor refuses", target, status)
	}
}

// clockReading is a time of another clock, and those of this process's clock before
// and after it was read.
type clockReading struct{ read, asked, answered time.Time }

func (d *Diagnosis) checkClock(context.Context) Finding {
	if d.skew.read.IsZero() {
		return Skipf("the handler's answer has no date")
	}
	off, doubt := offset(d.skew.read, d.skew.asked, d.skew.answered)
	return classifyClock(-off, doubt+500*time.Millisecond, "this process's clock", "set the clock of this machine (NTP)",
		"tokens are refused from a minute on")
}

// offset returns how far a clock is ahead of this process's, and how far that may
// be wrong.
func offset(read, asked, answered time.Time) (off, doubt time.Duration) {
	took := answered.Sub(asked)
	return read.Sub(asked.Add(took / 2)), took / 2
}

// A delivery that arrives more than two seconds early is deferred, and a token may
// come from a clock that is a minute ahead.
const (
	clockWarn = 2 * time.Second
	clockFail = time.Minute
)

func classifyClock(off, doubt time.Duration, which, fix, effect string) Finding {
	size := max(off.Abs()-doubt, 0)
	where := "ahead"
	if off < 0 {
		where = "behind"
	}
	detail := fmt.Sprintf("%s is %s %s: %s", which, off.Abs().Round(100*time.Millisecond), where, effect)
	switch {
	case size > clockFail:
		return Failf(fix, "%s", detail)
	case size > clockWarn:
		return Warnf(fix, "%s", detail)
	}
	return Okf("no more than %s off", max(size+doubt, 100*time.Millisecond).Round(100*time.Millisecond))
}
