package detect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/detect"
)

type env map[string]string

func (e env) get(name string) string { return e[name] }

// answering is a metadata server that knows these paths.
func answering(answers env) func(context.Context, string) (string, error) {
	return func(_ context.Context, path string) (string, error) {
		if text, ok := answers[path]; ok {
			return text, nil
		}
		return "", errors.New("not defined")
	}
}

var (
	service  = env{"K_SERVICE": "api", "K_REVISION": "api-00001-abc", "K_CONFIGURATION": "api", "PORT": "8080"}
	job      = env{"CLOUD_RUN_JOB": "nightly", "CLOUD_RUN_EXECUTION": "nightly-x1"}
	pool     = env{"CLOUD_RUN_WORKER_POOL": "pullers", "CLOUD_RUN_REVISION": "pullers-1"}
	standard = env{"GAE_APPLICATION": "s~staging", "GAE_ENV": "standard", "GAE_SERVICE": "default", "GAE_VERSION": "v1", "GOOGLE_CLOUD_PROJECT": "staging"}
	flexible = env{"GAE_INSTANCE": "aef-1", "GAE_SERVICE": "back", "GAE_VERSION": "v2", "GOOGLE_CLOUD_PROJECT": "shop"}

	metadata = env{
		"project/project-id":                      "shop\n",
		"project/numeric-project-id":              "123456789",
		"instance/region":                         "projects/123456789/regions/europe-west1",
		"instance/zone":                           "projects/123456789/zones/europe-west1-b",
		"instance/service-accounts/default/email": "123456789-compute@developer.gserviceaccount.com",
	}
)

// with returns a copy of e with name set, or without it if value is "-".
func (e env) with(pairs ...string) env {
	out := env{}
	for k, v := range e {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "-" {
			delete(out, pairs[i])
		}
	}
	return out
}

func TestPlatform(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  env
		want detect.Platform
	}{
		{"nothing", env{}, detect.None},
		{"a project alone is no platform", env{"GOOGLE_CLOUD_PROJECT": "shop", "PORT": "8080"}, detect.None},
		{"service", service, detect.CloudRunService},
		{"job", job, detect.CloudRunJob},
		{"worker pool", pool, detect.CloudRunWorkerPool},
		{"App Engine standard", standard, detect.AppEngine},
		{"App Engine flexible", flexible, detect.AppEngine},
		{"App Engine development server", standard.with("GAE_ENV", "localdev"), detect.None},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := detect.New(detect.Config{Getenv: tc.env.get}).Platform()
			if got != tc.want {
				t.Errorf("Platform() = %v, want %v", got, tc.want)
			}
			if run := strings.HasPrefix(tc.want.String(), "Cloud Run"); got.IsCloudRun() != run {
				t.Errorf("IsCloudRun() = %v", got.IsCloudRun())
			}
		})
	}
}

// Each case asks one question; want is "value (source)" or "error: part of the text".
func TestPieces(t *testing.T) {
	ctx := context.Background()
	questions := map[string]func(*detect.Detector) (detect.Found, error){
		"project":  func(d *detect.Detector) (detect.Found, error) { return d.Project(ctx) },
		"location": func(d *detect.Detector) (detect.Found, error) { return d.Location(ctx) },
		"host":     func(d *detect.Detector) (detect.Found, error) { return d.HandlerHost(ctx) },
		"account":  func(d *detect.Detector) (detect.Found, error) { return d.ServiceAccount(ctx) },
	}
	remedies := map[string]string{
		"project": "set the variable GOOGLE_CLOUD_PROJECT", "location": "set the variable CLOUD_RUN_REGION",
		"host": "set the URL", "account": "set the account",
	}
	long := strings.Repeat("a", 54)
	for _, tc := range []struct {
		question string
		name     string
		env      env
		metadata env
		config   detect.Config
		want     string
	}{
		{question: "project", name: "variable", env: service.with("GOOGLE_CLOUD_PROJECT", "mine"), metadata: metadata, want: "mine (variable GOOGLE_CLOUD_PROJECT)"},
		{question: "project", name: "variable off the platform", env: env{"GOOGLE_CLOUD_PROJECT": "mine"}, want: "mine (variable GOOGLE_CLOUD_PROJECT)"},
		{question: "project", name: "metadata", env: service, metadata: metadata, want: "shop (metadata project/project-id)"},
		{question: "project", name: "job", env: job, metadata: metadata, want: "shop (metadata project/project-id)"},
		{question: "project", name: "s~staging keeps its letters", env: standard.with("GOOGLE_CLOUD_PROJECT", "-"), want: "staging (variable GAE_APPLICATION)"},
		{question: "project", name: "European partition", env: env{"GAE_APPLICATION": "e~essen"}, want: "essen (variable GAE_APPLICATION)"},
		{question: "project", name: "domain-scoped", env: env{"GAE_APPLICATION": "s~example.com:shop"}, want: "example.com:shop (variable GAE_APPLICATION)"},
		{question: "project", name: "nowhere", env: env{}, want: "error: metadata server was not asked"},
		{question: "project", name: "metadata without it", env: service, want: "error: metadata project/project-id: not defined"},
		{question: "project", name: "metadata empty", env: service, metadata: env{"project/project-id": "\n"}, want: "error: metadata project/project-id is empty"},
		{question: "project", name: "not an ID", env: env{"GOOGLE_CLOUD_PROJECT": "projects/shop"}, want: `error: variable GOOGLE_CLOUD_PROJECT holds "projects/shop"`},
		{question: "project", name: "only a partition", env: env{"GAE_APPLICATION": "s~"}, want: "error: metadata project/project-id"},

		{question: "location", name: "variable", env: service.with("CLOUD_RUN_REGION", "asia-east1"), metadata: metadata, want: "asia-east1 (variable CLOUD_RUN_REGION)"},
		{question: "location", name: "region", env: service, metadata: metadata, want: "europe-west1 (metadata instance/region)"},
		{question: "location", name: "zone", env: standard, metadata: metadata.with("instance/region", "-"), want: "europe-west1 (metadata instance/zone)"},
		{question: "location", name: "bare zone", env: standard, metadata: env{"instance/zone": "us-central1-a"}, want: "us-central1 (metadata instance/zone)"},
		{question: "location", name: "long zone suffix", env: standard, metadata: env{"instance/zone": "projects/1/zones/us-central1-ai1a"}, want: "us-central1 (metadata instance/zone)"},
		{question: "location", name: "App Engine's own zone name", env: standard, metadata: env{"instance/zone": "projects/1/zones/us16"}, want: "error: names no region"},
		{question: "location", name: "App Engine's own region name", env: standard, metadata: env{"instance/region": "projects/1/regions/us-central"}, want: "us-central1 (metadata instance/region)"},
		{question: "location", name: "nowhere", env: env{}, want: "error: metadata server was not asked"},
		{question: "location", name: "metadata without it", env: service, want: "error: metadata instance/region: not defined"},
		{question: "location", name: "not a region", env: env{"CLOUD_RUN_REGION": "Europe"}, want: `error: variable CLOUD_RUN_REGION holds "Europe"`},

		{question: "host", name: "service", env: service, metadata: metadata,
			want: "api-123456789.europe-west1.run.app (variable K_SERVICE, metadata project/numeric-project-id, metadata instance/region)"},
		{question: "host", name: "tag", env: service, metadata: metadata, config: detect.Config{CloudRunTag: "green"},
			want: "green---api-123456789.europe-west1.run.app (the configured tag, variable K_SERVICE, metadata project/numeric-project-id, metadata instance/region)"},
		{question: "host", name: "tag from the variable", env: service.with("CLOUD_RUN_TAG", "blue"), metadata: metadata,
			want: "blue---api-123456789.europe-west1.run.app (variable CLOUD_RUN_TAG, variable K_SERVICE, metadata project/numeric-project-id, metadata instance/region)"},
		{question: "host", name: "bad tag", env: service.with("CLOUD_RUN_TAG", "evil.example.com/"), metadata: metadata, want: "error: not a traffic tag"},
		{question: "host", name: "label of 64", env: service.with("K_SERVICE", long), metadata: metadata, want: "error: has 64 characters and may have 63"},
		{question: "host", name: "label of 63", env: service.with("K_SERVICE", long[1:]), metadata: metadata,
			want: long[1:] + "-123456789.europe-west1.run.app (variable K_SERVICE, metadata project/numeric-project-id, metadata instance/region)"},
		{question: "host", name: "tag counts", env: service.with("K_SERVICE", long[1:], "CLOUD_RUN_TAG", "a"), metadata: metadata, want: "error: has 67 characters and may have 63"},
		{question: "host", name: "project ID instead of the number", env: service, metadata: metadata.with("project/numeric-project-id", "shop"), want: "error: not a project number"},
		{question: "host", name: "no number", env: service, metadata: metadata.with("project/numeric-project-id", "-"), want: "error: project number: metadata project/numeric-project-id: not defined"},
		{question: "host", name: "no region", env: service, metadata: metadata.with("instance/region", "-", "instance/zone", "-"), want: "error: region: variable CLOUD_RUN_REGION is not set; metadata instance/region: not defined"},
		{question: "host", name: "job", env: job, metadata: metadata, want: "error: a Cloud Run job has no URL"},
		{question: "host", name: "worker pool", env: pool, metadata: metadata, want: "error: a Cloud Run worker pool has no URL"},
		{question: "host", name: "nowhere", env: env{}, want: "error: neither a Cloud Run service nor App Engine"},

		{question: "host", name: "old App Engine", env: standard, want: "staging.appspot.com (variable GAE_APPLICATION)"},
		{question: "host", name: "another App Engine service", env: flexible, want: "back-dot-shop.appspot.com (variable GAE_SERVICE, variable GOOGLE_CLOUD_PROJECT)"},
		{question: "host", name: "region ID", env: standard, config: detect.Config{AppEngineHost: "staging.uc.r.appspot.com"}, want: "staging.uc.r.appspot.com (the application's default host)"},
		{question: "host", name: "region ID, service and version", env: flexible, config: detect.Config{AppEngineHost: "shop.ew.r.appspot.com", PinVersion: true},
			want: "v2-dot-back-dot-shop.ew.r.appspot.com (variable GAE_VERSION, variable GAE_SERVICE, the application's default host)"},
		{question: "host", name: "version of the default service", env: standard, config: detect.Config{PinVersion: true}, want: "v1-dot-staging.appspot.com (variable GAE_VERSION, variable GAE_APPLICATION)"},
		{question: "host", name: "version unknown", env: standard.with("GAE_VERSION", "-"), config: detect.Config{PinVersion: true}, want: "error: GAE_VERSION is not set"},
		{question: "host", name: "the application's project, not the configured one", env: standard.with("GOOGLE_CLOUD_PROJECT", "queues"), want: "staging.appspot.com (variable GAE_APPLICATION)"},
		{question: "host", name: "a foreign host", env: standard, config: detect.Config{AppEngineHost: "staging.evil.example"}, want: "error: does not belong to project staging"},
		{question: "host", name: "the host of another project", env: standard, config: detect.Config{AppEngineHost: "other.uc.r.appspot.com"}, want: "error: does not belong to project staging"},
		{question: "host", name: "a subdomain too deep", env: standard, config: detect.Config{AppEngineHost: "staging.a.b.r.appspot.com"}, want: "error: does not belong to project staging"},
		{question: "host", name: "domain-scoped", env: env{"GAE_APPLICATION": "s~example.com:shop", "GAE_SERVICE": "back"}, want: "back-dot-shop.example.com (variable GAE_SERVICE, variable GAE_APPLICATION)"},
		{question: "host", name: "long version and service", env: standard.with("GAE_SERVICE", long, "GAE_VERSION", "v1"), want: "error: may have 63"},
		{question: "host", name: "App Engine without a project", env: env{"GAE_ENV": "standard"}, want: "error: metadata project/project-id: not defined"},

		{question: "account", name: "Cloud Run", env: service, metadata: metadata, want: "123456789-compute@developer.gserviceaccount.com (metadata instance/service-accounts/default/email)"},
		{question: "account", name: "App Engine, as metadata says", env: standard, metadata: metadata.with("instance/service-accounts/default/email", "app@staging.iam.gserviceaccount.com"),
			want: "app@staging.iam.gserviceaccount.com (metadata instance/service-accounts/default/email)"},
		{question: "account", name: "App Engine", env: standard, want: "staging@appspot.gserviceaccount.com (App Engine's default account for the project in variable GAE_APPLICATION)"},
		{question: "account", name: "domain-scoped", env: env{"GAE_APPLICATION": "s~example.com:shop"}, want: "shop.example.com@appspot.gserviceaccount.com (App Engine's default account for the project in variable GAE_APPLICATION)"},
		{question: "account", name: "App Engine without a project", env: env{"GAE_ENV": "standard"}, want: "error: metadata project/project-id: not defined"},
		{question: "account", name: "nonsense", env: service, metadata: env{"instance/service-accounts/default/email": "<html>"}, want: "error: not an e-mail address"},
		{question: "account", name: "nowhere", env: env{}, want: "error: metadata server was not asked"},
	} {
		t.Run(tc.question+"/"+tc.name, func(t *testing.T) {
			config := tc.config
			config.Getenv, config.Metadata = tc.env.get, answering(tc.metadata)
			found, err := questions[tc.question](detect.New(config))
			text, isError := strings.CutPrefix(tc.want, "error: ")
			if !isError {
				if got := fmt.Sprintf("%s (%s)", found.Value, found.Source); err != nil || got != tc.want {
					t.Fatalf("got %s, %v\nwant %s", got, err, tc.want)
				}
				return
			}
			var missing *detect.Error
			if !errors.Is(err, detect.ErrNotDetected) || !errors.As(err, &missing) {
				t.Fatalf("got %v, %v; want an error that is ErrNotDetected", found, err)
			}
			if !strings.HasPrefix(missing.Remedy(), remedies[tc.question]) || !strings.HasSuffix(err.Error(), "; "+missing.Remedy()) || !strings.Contains(err.Error(), text) {
				t.Errorf("error %q does not say %q and %s", err, text, remedies[tc.question])
			}
			if found != (detect.Found{}) {
				t.Errorf("found %v beside the error", found)
			}
		})
	}
}

func TestEnvironmentGathersWhatItCan(t *testing.T) {
	e := detect.New(detect.Config{Getenv: job.get, Metadata: answering(metadata)}).Environment(context.Background())
	if e.Platform != detect.CloudRunJob || e.Service != "nightly" || e.Version != "nightly-x1" {
		t.Errorf("platform %v, service %q, version %q", e.Platform, e.Service, e.Version)
	}
	if e.Project.Value != "shop" || e.Location.Value != "europe-west1" || e.ServiceAccount.Err != nil {
		t.Errorf("%+v", e)
	}
	if !errors.Is(e.HandlerHost.Err, detect.ErrNotDetected) {
		t.Errorf("a job has a host: %+v", e.HandlerHost)
	}
}

// App Engine's host without its region part, and its default account, may be wrong.
func TestGuessesSayThatTheyAre(t *testing.T) {
	d := detect.New(detect.Config{Getenv: standard.get, Metadata: answering(env{})})
	origin, err := d.HandlerOrigin(t.Context())
	account, accountErr := d.ServiceAccount(t.Context())
	if err != nil || accountErr != nil || !origin.Guessed || !account.Guessed {
		t.Errorf("%+v, %v; %+v, %v", origin, err, account, accountErr)
	}
	d = detect.New(detect.Config{Getenv: standard.get, Metadata: answering(metadata), AppEngineHost: "staging.uc.r.appspot.com"})
	origin, err = d.HandlerOrigin(t.Context())
	account, accountErr = d.ServiceAccount(t.Context())
	if err != nil || accountErr != nil || origin.Guessed || account.Guessed {
		t.Errorf("%+v, %v; %+v, %v", origin, err, account, accountErr)
	}
}

func TestHandlerOrigin(t *testing.T) {
	d := detect.New(detect.Config{Getenv: service.get, Metadata: answering(metadata)})
	if f, err := d.HandlerOrigin(context.Background()); err != nil || f.Value != "https://api-123456789.europe-west1.run.app" {
		t.Errorf("got %v, %v", f, err)
	}
}

func TestMetadataIsAskedOncePerPath(t *testing.T) {
	asked := map[string]int{}
	d := detect.New(detect.Config{Getenv: service.get, Metadata: func(ctx context.Context, path string) (string, error) {
		asked[path]++
		return answering(metadata.with("instance/region", "-"))(ctx, path)
	}})
	d.Environment(context.Background())
	d.Environment(context.Background())
	for path, n := range asked {
		if n != 1 {
			t.Errorf("%s was asked %d times", path, n)
		}
	}
}

func TestHangingMetadataCostsTheBudgetOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := detect.New(detect.Config{Getenv: service.get, Metadata: func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}})
		start := time.Now()
		e := d.Environment(context.Background())
		if took := time.Since(start); took != 1500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		for _, r := range []detect.Result{e.Project, e.Location, e.HandlerHost, e.ServiceAccount} {
			if !errors.Is(r.Err, detect.ErrNotDetected) || !errors.Is(r.Err, context.DeadlineExceeded) {
				t.Errorf("error %v", r.Err)
			}
		}
	})
}

func TestCancelledCallerIsNotRemembered(t *testing.T) {
	d := detect.New(detect.Config{Getenv: service.get, Metadata: func(ctx context.Context, path string) (string, error) {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return metadata[path], nil
	}})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.Project(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if f, err := d.Project(context.Background()); err != nil || f.Value != "shop" {
		t.Errorf("got %v, %v", f, err)
	}
}

// metadataServer is the real client's counterpart on loopback.
func metadataServer(t *testing.T, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestMetadataHost(t *testing.T) {
	t.Parallel()
	var stray atomic.Int32
	host := metadataServer(t, func(w http.ResponseWriter, r *http.Request) {
		text, ok := metadata[strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")]
		if !ok || r.Header.Get("Metadata-Flavor") != "Google" {
			stray.Add(1)
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, text)
	})
	// GCE_METADATA_HOST alone is reason enough to ask, without any platform.
	for _, e := range []env{{"GCE_METADATA_HOST": host}, service.with("GCE_METADATA_HOST", host)} {
		got := detect.New(detect.Config{Getenv: e.get}).Environment(context.Background())
		if got.Project.Value != "shop" || got.Location.Value != "europe-west1" || got.ServiceAccount.Err != nil {
			t.Errorf("%+v", got)
		}
	}
	if stray.Load() != 0 {
		t.Errorf("%d stray requests", stray.Load())
	}
}

func TestHangingMetadataServer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	host := metadataServer(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	start := time.Now()
	e := detect.New(detect.Config{Getenv: service.with("GCE_METADATA_HOST", host).get}).Environment(context.Background())
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	if !errors.Is(e.HandlerHost.Err, context.DeadlineExceeded) {
		t.Errorf("error %v", e.HandlerHost.Err)
	}
}

func TestFunctionsOverTheProcessEnvironment(t *testing.T) {
	for _, name := range []string{"GAE_ENV", "GAE_INSTANCE", "CLOUD_RUN_JOB", "CLOUD_RUN_WORKER_POOL", "K_SERVICE", "GOOGLE_CLOUD_PROJECT", "GAE_SERVICE"} {
		t.Setenv(name, "")
	}
	t.Setenv("GAE_APPLICATION", "s~staging")
	t.Setenv("CLOUD_RUN_REGION", "us-east1")
	ctx := context.Background()
	if !detect.IsAppEngine() || detect.IsCloudRun() {
		t.Error("not App Engine")
	}
	for want, ask := range map[string]func(context.Context) (detect.Found, error){
		"staging":                             detect.Project,
		"us-east1":                            detect.Location,
		"staging.appspot.com":                 detect.HandlerHost,
		"staging@appspot.gserviceaccount.com": detect.ServiceAccount,
	} {
		if f, err := ask(ctx); err != nil || f.Value != want {
			t.Errorf("got %v, %v; want %s", f, err, want)
		}
	}
}

// Whatever the environment and the metadata server say, a host is made of valid
// names below the platform's domains, or there is an error.
func FuzzHandlerHost(f *testing.F) {
	f.Add("api", "", "green", "123", "projects/1/regions/us-central1", "")
	f.Add("", "s~staging", "", "", "", "staging.uc.r.appspot.com")
	f.Add("a/b", "s~x:y:z", "?", "-1", "/", "..")
	f.Fuzz(func(t *testing.T, service, application, tag, number, region, host string) {
		d := detect.New(detect.Config{
			Getenv:   env{"K_SERVICE": service, "GAE_APPLICATION": application, "CLOUD_RUN_TAG": tag}.get,
			Metadata: answering(env{"project/numeric-project-id": number, "instance/region": region}), AppEngineHost: host,
		})
		found, err := d.HandlerHost(context.Background())
		if err != nil {
			return
		}
		if strings.Trim(found.Value, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			t.Errorf("host %q", found.Value)
		}
		if label, _, _ := strings.Cut(found.Value, "."); len(label) > 63 || label == "" {
			t.Errorf("label %q", label)
		}
	})
}
