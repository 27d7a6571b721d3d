package admin

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/claimcheck-go/claimcheck/internal/loopback"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/argschema"
	"github.com/claimcheck-go/claimcheck/server/admin/internal/argform"
	"github.com/claimcheck-go/claimcheck/server/internal/lang"
)

// firstStep is how a first task is enqueued, for the overview of an empty database.
type firstStep struct {
	Task    string // a name that this program registers; empty: it registers none
	Form    string // address of its form
	Command string // for a terminal; empty: the program has no such command
	Curl    string // empty: the HTTP API is not known to be anywhere
	Token   bool   // Curl needs the API's secret in TOKEN
}

// ownNames begins the names of tasks that the product itself registers.
const ownNames = "claimcheck."

// firstStep chooses a task that this program runs, or else one that it enqueues.
func (h *handler) firstStep(r *http.Request) *firstStep {
	var chosen *queue.TaskInfo
	for _, info := range h.Client.Registry().Tasks() {
		if !strings.HasPrefix(info.Name, ownNames) && (chosen == nil || info.Runnable && !chosen.Runnable) {
			chosen = &info
		}
	}
	if chosen == nil {
		return &firstStep{}
	}
	step := &firstStep{Task: chosen.Name, Form: h.link("/types/"+chosen.Name) + "#enqueue", Token: h.APIToken}
	args := "{}"
	if form := argform.New(argschema.Of(chosen.Args), lang.English()); form != nil {
		if zero := form.Args(); !form.Wrong {
			args = string(zero)
		}
	}
	if h.EnqueueCommand != "" {
		step.Command = h.EnqueueCommand + " " + chosen.Name + " " + shellQuote(escaped(args))
	}
	body, err := json.Marshal(map[string]any{"task": chosen.Name, "args": json.RawMessage(args)})
	if h.API != "" && err == nil {
		header := ""
		if h.APIToken {
			header = `-H "Authorization: Bearer $TOKEN" `
		}
		step.Curl = "curl -X POST " + header + `-H "Content-Type: application/json" -d ` + shellQuote(escaped(string(body))) + " " + shellQuote(h.apiAddress(r))
	}
	return step
}

// apiAddress is where tasks are enqueued over HTTP: at Config.API, if that is a URL, else on
// the host that the browser asked, below what a proxy has removed from the path.
func (h *handler) apiAddress(r *http.Request) string {
	below := strings.TrimRight(h.API, "/") + "/enqueue/"
	if strings.Contains(h.API, "://") {
		return below
	}
	removed := strings.TrimSuffix(h.base, h.Prefix)
	return (&url.URL{Scheme: schemeOf(r), Host: r.Host, Path: removed + below}).String()
}

// schemeOf is that of the address in the browser, as a proxy says or else as is usual.
func schemeOf(r *http.Request) string {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",") // the first proxy's
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	switch forwarded = strings.ToLower(strings.TrimSpace(forwarded)); {
	case forwarded == "https" || forwarded == "http":
		return forwarded
	case r.TLS == nil && loopback.Host(host):
		return "http"
	}
	return "https"
}
