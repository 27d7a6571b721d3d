package detect

import (
	"context"
	"os"
)

// Config selects the environment of a [Detector]. The zero value is the process's
// own environment and metadata server.
type Config struct {
	// Getenv looks up an environment variable; nil means os.Getenv.
	Getenv func(string) string
	// Metadata asks the metadata server for one path below /computeMetadata/v1/
	// and must honour the context. Nil means the real server, or the one that
	// GCE_METADATA_HOST names.
	Metadata func(ctx context.Context, path string) (string, error)
	// CloudRunTag is the traffic tag put in front of the Cloud Run host, so that
	// tasks return to the tagged revision. A revision name is not a tag. Empty
	// means the variable CLOUD_RUN_TAG, and no tag if that is not set.
	CloudRunTag string
	// AppEngineHost is the application's default host, which carries the region
	// ID that nothing else reveals: PROJECT.REGION_ID.r.appspot.com. Pass what a
	// request that came through App Engine holds in its header
	// X-AppEngine-Default-Version-Hostname, or an operator's setting. It must
	// belong to this project. Empty means the old PROJECT.appspot.com.
	AppEngineHost string
	// PinVersion puts GAE_VERSION into the App Engine host, so that tasks return
	// to the version that enqueued them.
	PinVersion bool
}

// Detector detects the values of one environment. Variables are read at each call;
// the answers of the metadata server, failures included, are cached: make a new
// Detector to ask again. It is safe for concurrent use.
type Detector struct {
	config   Config
	getenv   func(string) string
	metadata *metadataCache
}

// New returns a Detector. It reads GCE_METADATA_HOST and calls nothing yet.
func New(config Config) *Detector {
	getenv := config.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	ask := config.Metadata
	if ask == nil {
		ask = newMetadataClient(getenv("GCE_METADATA_HOST")).GetWithContext
	}
	return &Detector{config: config, getenv: getenv, metadata: newMetadataCache(ask)}
}

// Found is a value together with where it came from.
type Found struct {
	Value string
	// Source is for display: "variable GOOGLE_CLOUD_PROJECT",
	// "metadata instance/region".
	Source string
	// Guessed reports that the value follows a rule that does not hold for every
	// application: App Engine's old host names, its default account.
	Guessed bool
}

// Result is the outcome of one detection: either Found or Err is set.
type Result struct {
	Found
	Err error
}

// Environment is everything that a [Detector] detects, for a start-up log or a report.
type Environment struct {
	Platform       Platform
	Service        string // service, job or worker pool; empty on None
	Version        string // version, revision or execution; empty on None
	Project        Result
	Location       Result
	HandlerHost    Result
	ServiceAccount Result
}

// Environment detects everything once. A value that could not be detected does not
// stop the others; its [Result] says why. It takes at most 1.5 s.
func (d *Detector) Environment(ctx context.Context) Environment {
	service, version := d.names()
	return Environment{
		Platform:       d.Platform(),
		Service:        service,
		Version:        version,
		Project:        result(d.Project(ctx)),
		Location:       result(d.Location(ctx)),
		HandlerHost:    result(d.HandlerHost(ctx)),
		ServiceAccount: result(d.ServiceAccount(ctx)),
	}
}

func result(f Found, err error) Result { return Result{Found: f, Err: err} }
