package doctor

import (
	"context"
	"net/http"
	"strings"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	run "cloud.google.com/go/run/apiv2"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/dbfacts"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// Options are those of the command.
type Options struct {
	MaxInstances   int // 0: not known
	Concurrency    int // tasks that one instance runs at once
	Deliver        bool
	DeliverTimeout time.Duration
	Integrity      bool
}

// Config is what the checks look at, and the server's own functions for what only
// it decides.
type Config struct {
	Options
	Name     string // of the program, in the commands that fix something
	Settings *config.Settings
	Env      config.Environment
	Sources  *config.Sources
	Blank    error             // settings of white space alone
	Misspelt []config.Misspelt // variables that look like settings

	// Validate returns what serve refuses about settings before it opens anything,
	// and the tasks of the program, with [Probe].
	Validate func(context.Context, *config.Config) (*queue.Registry, error)
	// ValidateAccess returns what is wrong with the settings that say who may call,
	// and who may open /admin/. The target is nil but in cloudtasks mode.
	ValidateAccess func(*config.Config, *config.Target) error
	// Authenticate returns why serve would start for no caller at all.
	Authenticate func(*config.Config, *config.Target) error
	// Opener validates the settings of the database and returns what opens it, even
	// one that serve would refuse for its settings or its version.
	Opener func(*config.Config) (func(context.Context) (stores.Database, error), error)
	// Setup reports on the program's own Setup; nil: it has none.
	Setup func(context.Context) Finding
	// OwnPool reports whether Setup has a pool beside the queue's; nil: it has none.
	OwnPool func() bool

	// OwnKeys are the keys of the program's own Codec; nil: it has none.
	OwnKeys []string

	// The clients of Google Cloud. A nil one is the real client.
	Dial         func(context.Context) (*apiv2.Client, error)
	DialJobs     func(context.Context) (*run.JobsClient, error)
	DialServices func(context.Context) (*run.ServicesClient, error)
	// Transport sends HTTP requests; nil means [http.DefaultTransport].
	Transport http.RoundTripper
	// OnClose is called by [Diagnosis.Close]; it may be nil.
	OnClose func()
	// Inspect reads the facts of the database; nil means its own method.
	Inspect func(context.Context, stores.Database) (dbfacts.Facts, error)
}

// Diagnosis is a run of the checks, and what they leave for others that need it.
type Diagnosis struct {
	Config
	config    *config.Config // completed by what was detected
	registry  *queue.Registry
	mode      string
	detector  *detect.Detector
	runsAs    string // the account of this process, if the platform reports it
	problems  map[string]Finding
	others    []string          // problems that are of no setting
	detected  map[string]string // settings that are not set: where they were found
	guessed   map[string]bool   // of these, those that may be wrong
	undecided map[string]bool   // settings for which the metadata server did not answer
	metadata  error             // why it did not
	target    *config.Target    // in cloudtasks mode
	http      *http.Client

	db         stores.Database
	file       string // the SQLite file that does not exist yet
	facts      dbfacts.Facts
	cloudTasks *apiv2.Client
	queues     []*cloudtaskspb.Queue // those that could be looked at
	createAs   error                 // why Cloud Tasks may not sign as the account
	jobs       *run.JobsClient
	job        string // its full name
	skew       clockReading
}

// New resolves the settings. It calls the metadata server, and nothing else. Close
// the Diagnosis at the end.
func New(ctx context.Context, cfg Config) *Diagnosis {
	completed := *cfg.Settings
	d := &Diagnosis{
		Config: cfg, config: &config.Config{Settings: &completed, Env: cfg.Env, Role: config.Diagnoses},
		problems: map[string]Finding{}, detected: map[string]string{}, undecided: map[string]bool{}, guessed: map[string]bool{},
		http: &http.Client{
			Transport:     cfg.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	d.detector = d.config.Detector()
	if d.Dial == nil {
		d.Dial = func(ctx context.Context) (*apiv2.Client, error) {
			return cloudtasks.Dial(ctx, cloudtasks.DialConfig{EmulatorHost: completed.CloudTasksEmulatorHost})
		}
	}
	if d.DialJobs == nil {
		d.DialJobs = func(ctx context.Context) (*run.JobsClient, error) { return run.NewJobsClient(ctx) }
	}
	if d.DialServices == nil {
		d.DialServices = func(ctx context.Context) (*run.ServicesClient, error) { return run.NewServicesClient(ctx) }
	}
	if d.Inspect == nil {
		d.Inspect = inspect
	}
	d.resolveMode()
	d.detect(ctx)
	d.validate(ctx)
	return d
}

func inspect(ctx context.Context, db stores.Database) (dbfacts.Facts, error) {
	inspector, err := stores.As[stores.Inspector](db)
	if err != nil {
		return dbfacts.Facts{}, err
	}
	return inspector.Inspect(ctx)
}

// defaultLimits bound the checks.
var defaultLimits = Limits{Each: 5 * time.Second, All: 30 * time.Second}

// minSecret is the length from which a secret is removed from findings: shorter ones
// occur in ordinary words too, and the gap in a sentence would reveal them.
const minSecret = 8

// Run runs all checks, and passes each result to report as soon as those before it
// are there. No finding contains a secret.
func (d *Diagnosis) Run(ctx context.Context, report func(Result)) []Result {
	var hide []string
	for _, secret := range config.Secrets(d.config.Settings, d.Sources.Provided()) {
		if len(secret) >= minSecret {
			hide = append(hide, secret, "xxxxx")
		}
	}
	scrub := strings.NewReplacer(hide...)
	checks := d.checks()
	limits := defaultLimits
	for i := range checks {
		look := checks[i].Look
		checks[i].Look = func(ctx context.Context) Finding {
			found := look(ctx)
			found.Detail, found.Fix = scrub.Replace(found.Detail), scrub.Replace(found.Fix)
			return found
		}
		if checks[i].Skip == "" {
			limits.All += checks[i].Limit
		}
	}
	return Run(ctx, limits, checks, report)
}

// checks returns all of them, in the order in which they are printed.
func (d *Diagnosis) checks() []Check {
	checks := []Check{{Name: "platform", Look: d.checkPlatform}}
	checks = append(checks, d.settingChecks()...)
	checks = append(checks, Check{Name: "variables", Look: d.checkVariables})
	if d.Setup != nil {
		checks = append(checks, Check{Name: "setup", Look: d.Setup})
	}
	checks = append(checks, Check{Name: "access", Look: d.checkAccess,
		Needs: []string{"TASKS_MODE", "TASK_API_TOKEN", "TASK_HMAC_SECRET", "OIDC_SERVICE_ACCOUNT_EMAIL", "OIDC_AUDIENCE", "OIDC_ALLOWED_EMAILS", "OIDC_ISSUER", "OIDC_CERTS_URL", "TASK_HANDLER_URL"}})
	checks = append(checks, d.databaseChecks()...)
	checks = append(checks, d.cloudChecks()...)
	checks = append(checks, d.jobChecks()...)
	checks = append(checks, d.handlerChecks()...)
	checks = append(checks, d.deliverCheck())
	return append(checks, Check{Name: "sweeper", Skip: d.noCloudTasks(), Needs: []string{"schema"}, Look: d.checkSweeper})
}

// noCloudTasks is why a check of cloudtasks mode is skipped; empty: it is not.
func (d *Diagnosis) noCloudTasks() string {
	switch {
	case d.mode != config.ModeCloudTasks:
		return d.mode + " mode"
	case d.target == nil:
		return "the settings do not say where tasks go"
	}
	return ""
}

// Close closes what the checks have opened.
func (d *Diagnosis) Close() {
	if d.OnClose != nil {
		d.OnClose()
	}
	if d.db != nil {
		_ = stores.Close(d.db, stores.CloseTime)
	}
	if d.cloudTasks != nil {
		_ = d.cloudTasks.Close()
	}
	if d.jobs != nil {
		_ = d.jobs.Close()
	}
}
