package server

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
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
)

// handlerChecks are those of the handler's URL, from outside.
func (e *examination) handlerChecks() []doctor.Check {
	skip := e.noCloudTasks()
	handler := []string{"TASK_HANDLER_URL", "TASK_HANDLER_PATH"}
	audience := doctor.Check{Name: "audience", Skip: skip, Needs: append(handler[:2:2], "OIDC_AUDIENCE"), Look: e.checkAudience}
	if e.target != nil && e.target.Tasks.AppEngine != nil {
		audience.Skip = "App Engine's deliveries carry no token"
	}
	return []doctor.Check{
		audience,
		{Name: "handler", Skip: skip, Needs: handler, Look: e.checkHandler},
		{Name: "strangers", Skip: skip, Needs: append(handler[:2:2], "handler"), Look: e.checkStrangers},
		{Name: "clock", Skip: skip, Needs: []string{"handler"}, Look: e.checkClock},
	}
}

// handlerOrigin is scheme and host of the handler; empty: it has none.
func (e *examination) handlerOrigin(ctx context.Context) string {
	if e.target != nil && e.target.Tasks.AppEngine != nil {
		origin, _ := e.detector.HandlerOrigin(ctx)
		return origin.Value
	}
	u, err := url.Parse(e.config.Settings.TaskHandlerURL)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// checkAudience compares the audience of tokens with the URL that they go to,
// which is what Cloud Run's IAM accepts. It wants the service's own URL, without
// a traffic tag.
func (e *examination) checkAudience(ctx context.Context) doctor.Finding {
	origin, first := e.handlerOrigin(ctx), firstIn(e.target.Audiences)
	untagged := cloudtasks.WithoutTag(origin)
	switch {
	case first == untagged:
		return doctor.Okf("%s, that of the handler", first)
	case first == origin:
		return doctor.Warnf("OIDC_AUDIENCE="+untagged, "%s is the URL of a traffic tag, for which Cloud Run's IAM accepts no tokens", first)
	case slices.Contains(e.target.Audiences, untagged):
		return doctor.Warnf(fmt.Sprintf("OIDC_AUDIENCE=%s,%s", untagged, first), "tokens carry %s, the first, though the handler is at %s", first, untagged)
	}
	return doctor.Warnf("OIDC_AUDIENCE="+untagged, "tokens carry %q, but the handler is at %s: Cloud Run's IAM accepts that only as a custom audience", first, untagged)
}

// answer is what came back to one request.
type answer struct {
	status int
	header http.Header
	body   string
}

// ours reports whether this program answered, and not what stands before it.
func (a answer) ours() bool { return strings.HasPrefix(strings.TrimSpace(a.body), `{"error":`) }

// by names who answered.
func (a answer) by() string {
	if a.ours() {
		return "the server itself"
	}
	return "what stands before the server, such as Cloud Run's IAM"
}

// ask sends a request without credentials.
func (e *examination) ask(ctx context.Context, method, address string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("User-Agent", "claimcheck-doctor")
	response, err := e.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	return answer{response.StatusCode, response.Header, string(body)}, err
}

// checkHandler asks for a sign of life, and notes the time that comes with it.
func (e *examination) checkHandler(ctx context.Context) doctor.Finding {
	origin := e.handlerOrigin(ctx)
	if origin == "" {
		return doctor.Skipf("App Engine finds it by service and version")
	}
	live, asked := origin+"/health/live", time.Now()
	got, err := e.ask(ctx, http.MethodGet, live)
	mend := "deploy the server there, or correct TASK_HANDLER_URL"
	if err != nil {
		return doctor.Failf(mend, "GET %s: %s", live, err)
	}
	if at, err := http.ParseTime(got.header.Get("Date")); err == nil {
		// It was cut to whole seconds, so it was half a second later on average.
		e.skew = clockReading{at.Add(500 * time.Millisecond), asked, time.Now()}
	}
	switch status := got.status; {
	case status == http.StatusOK:
		return doctor.Okf("GET %s: 200", live)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return doctor.Okf("GET %s: %d from what stands before the server, such as Cloud Run's IAM, which this look cannot pass", live, status)
	case status >= 300 && status < 400:
		return doctor.Failf("let TASK_HANDLER_URL begin with "+strings.TrimSuffix(got.header.Get("Location"), "/health/live")+", not with "+origin, "GET %s is redirected (%d); Cloud Tasks takes that for a failure", live, status)
	case status == http.StatusNotFound:
		return doctor.Failf(mend, "GET %s: 404, so something else is there, or a service or a traffic tag that is gone", live)
	default:
		return doctor.Failf("look at the log of the server", "GET %s: %d", live, status)
	}
}

// checkStrangers tries to run a task that does not exist, without credentials.
func (e *examination) checkStrangers(ctx context.Context) doctor.Finding {
	target := strings.Replace(e.config.Settings.TaskHandlerURL, "{task_id}", uuid.NewString(), 1)
	if e.target.Tasks.AppEngine != nil {
		target = e.handlerOrigin(ctx) + strings.Replace(e.config.Settings.TaskHandlerPath, "{task_id}", uuid.NewString(), 1)
	}
	got, err := e.ask(ctx, http.MethodPost, target)
	if err != nil {
		return doctor.Failf("", "POST %s: %s", target, err)
	}
	switch status := got.status; {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return doctor.Okf("refused with %d by %s", status, got.by())
	case status < 300, status == http.StatusNotFound && got.ours(), status == http.StatusConflict:
		return doctor.Failf("do not serve this until it asks for credentials: set OIDC_SERVICE_ACCOUNT_EMAIL where it runs, and take any proxy away that lends its own",
			"POST %s without credentials: %d, so anybody may run tasks", target, status)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status >= 300 && status < 400:
		return doctor.Failf("let TASK_HANDLER_URL (or TASK_HANDLER_PATH) be the same where the server runs", "POST %s: %d, so no handler is there", target, status)
	default:
		return doctor.Failf("look at the log of the server", "POST %s without credentials: %d, which neither lets in nor refuses", target, status)
	}
}

// clockReading is a time that was told between two of this process's.
type clockReading struct{ told, asked, answered time.Time }

func (e *examination) checkClock(context.Context) doctor.Finding {
	if e.skew.told.IsZero() {
		return doctor.Skipf("the handler's answer has no date")
	}
	off, doubt := offset(e.skew.told, e.skew.asked, e.skew.answered)
	return judgeClock(-off, doubt+500*time.Millisecond, "this process's clock", "set the clock of this machine (NTP)",
		"tokens are refused from a minute on")
}

// offset is how far a clock is ahead of this process's, and how far that may be
// wrong.
func offset(told, asked, answered time.Time) (off, doubt time.Duration) {
	took := answered.Sub(asked)
	return told.Sub(asked.Add(took / 2)), took / 2
}

// A delivery that comes more than two seconds early is sent away again, and a
// token may come from a clock that is a minute ahead.
const (
	clockWarn = 2 * time.Second
	clockFail = time.Minute
)

func judgeClock(off, doubt time.Duration, which, mend, so string) doctor.Finding {
	size := max(off.Abs()-doubt, 0)
	where := "ahead"
	if off < 0 {
		where = "behind"
	}
	detail := fmt.Sprintf("%s is %s %s: %s", which, off.Abs().Round(100*time.Millisecond), where, so)
	switch {
	case size > clockFail:
		return doctor.Failf(mend, "%s", detail)
	case size > clockWarn:
		return doctor.Warnf(mend, "%s", detail)
	}
	return doctor.Okf("no more than %s off", max(size+doubt, 100*time.Millisecond).Round(100*time.Millisecond))
}
