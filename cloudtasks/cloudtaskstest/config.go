package cloudtaskstest

import (
	"crypto/rsa"
	"net/http"
	"time"

	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
)

// Config says how a Server behaves. The zero value has no queues and delivers
// over real HTTP.
type Config struct {
	// Queues exist from the start. Name is the full resource name; what else
	// is unset takes the service's defaults.
	Queues []*cloudtaskspb.Queue
	// AutoCreate, if set, makes a queue come into being when a task is created
	// in it, or it is asked for, and AutoCreate returns true for its ID. The real service has none
	// of that. AnyQueue accepts all.
	AutoCreate func(queueID string) bool

	// Handler, if set, gets every delivery in process, whatever its URL. Like a
	// real handler it is not stopped by the dispatch deadline; its request's
	// context ends when the Server is closed, and Close waits for it.
	Handler http.Handler
	// Transport makes deliveries when Handler is nil; nil means real HTTP.
	Transport http.RoundTripper
	// AppEngineURL is where App Engine tasks go, like "http://127.0.0.1:8080";
	// empty means their appspot.com host, which only a Handler or a Transport
	// will answer.
	AppEngineURL string

	// Issuer of OIDC tokens; empty means Google's, "https://accounts.google.com".
	Issuer string
	// Key signs OIDC tokens; nil means a new key, made when the first one is
	// needed, which takes a tenth of a second.
	Key *rsa.PrivateKey
	// ServiceAccounts, if not empty, are the only accounts that tasks may sign
	// as; creating a task with another answers NOT_FOUND.
	ServiceAccounts []string

	// NamesHeldFor is how long the name of a task stays reserved after the task
	// is gone; 0 means 24 hours, the longest that the service states. (It may
	// be as short as an hour, and is 9 days for queues made by queue.yaml.)
	NamesHeldFor time.Duration

	// BatchTime is how long the operation of a batch takes; 0: it has ended in the
	// answer of BatchCreateTasks. Its tasks are stored at once.
	BatchTime time.Duration
	// NoBatches answers BatchCreateTasks with UNIMPLEMENTED, as before version 1.21.
	NoBatches bool

	// Faults are injected from the start; see SetFaults.
	Faults Faults

	// History is of how many tasks that are gone Attempts still knows; 0 means
	// 1000.
	History int
}

// AnyQueue is an AutoCreate that accepts every queue ID.
func AnyQueue(string) bool { return true }

func (cfg Config) withDefaults() Config {
	if cfg.Issuer == "" {
		cfg.Issuer = "https://accounts.google.com"
	}
	if cfg.NamesHeldFor == 0 {
		cfg.NamesHeldFor = 24 * time.Hour
	}
	if cfg.History == 0 {
		cfg.History = 1000
	}
	return cfg
}
