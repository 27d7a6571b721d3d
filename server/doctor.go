package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apiv2 "cloud.google.com/go/cloudtasks/apiv2"
	"cloud.google.com/go/cloudtasks/apiv2/cloudtaskspb"
	run "cloud.google.com/go/run/apiv2"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/detect"
	"github.com/claimcheck-go/claimcheck/queue/dbfacts"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

type doctorCmd struct {
	MaxInstances   int           `placeholder:"N" help:"Instances that may run at once, to judge connections and queues by. Default: not known."`
	Concurrency    int           `default:"80" help:"Tasks that one instance runs at once, as serve has it."`
	Deliver        bool          `help:"Make one real delivery: enqueue a probe task that does nothing, and wait until the running service has run it."`
	DeliverTimeout time.Duration `default:"60s" placeholder:"60s" help:"How long --deliver waits; a bare number is seconds."`
	Integrity      bool          `help:"SQLite: look through the whole file (integrity_check), however long that takes."`
	JSON           bool          `name:"json" help:"Print a list of {check, status, detail, mend}."`
}

// Help says what it does to the world, and shows examples.
func (*doctorCmd) Help() string {
	return `Looks at everything that must be right for tasks to run, and prints one line a
check: ok, warn, fail or skipped, what was seen, and after an arrow what mends it.
It ends with status 1 if any check failed. It takes the same settings as serve, so
run it where serve runs (as a Cloud Run job, for example), or with its settings.

In cloudtasks mode it creates a Cloud Task named claimcheck-doctor-… in every
queue, due in 25 days, and deletes it at once; and it sends one request without
credentials to the handler, which must refuse it. With --deliver it stores and
dispatches one task, claimcheck.probe, which does nothing, and removes it again.
It changes nothing else, and makes no SQLite file that is not there.

Examples:
  {name} doctor
  {name} doctor --max-instances 10 --json
  {name} doctor --deliver
  TASKS_MODE=cloudtasks {name} doctor    # what is missing for it`
}

// doctorLimits bound the checks.
var doctorLimits = doctor.Limits{Each: 5 * time.Second, All: 30 * time.Second}

// examination is what the checks look at, and what they leave for others that
// need them.
type examination struct {
	*program  // whose settings are completed by what was detected
	cmd       *doctorCmd
	mode      string
	detector  *detect.Detector
	runsAs    string // the account of this process, where the platform tells
	problems  map[string]doctor.Finding
	others    []string          // those that are not of our settings
	detected  map[string]string // settings that nobody gave: where they were found
	guessed   map[string]bool   // of these, those that may be wrong
	undecided map[string]bool   // settings that the metadata server kept for itself
	silent    error             // why it did
	target    *config.Target    // in cloudtasks mode

	// The ways out of this process.
	dial     func(context.Context) (*apiv2.Client, error)
	dialJobs func(context.Context) (*run.JobsClient, error)
	// Makes the client of Cloud Run's services.
	dialServices func(context.Context) (*run.ServicesClient, error)
	http         *http.Client
	inspect      func(context.Context, database) (dbfacts.Facts, error)

	app         *App // nil if the settings are wrong
	setupFailed *setupError

	db       database
	file     string // the SQLite file that is not there yet
	facts    dbfacts.Facts
	tasks    *apiv2.Client
	queues   []*cloudtaskspb.Queue // those that could be looked at
	createAs error                 // why Cloud Tasks may not sign as the account
	jobs     *run.JobsClient
	job      string // its full name
	skew     clockReading
}

// Run prints what the checks find.
func (c *doctorCmd) Run(ctx context.Context, p *program) error {
	if c.MaxInstances < 0 {
		return config.Problemf("--max-instances", "must be 0 (not known) or more, not %d", c.MaxInstances)
	}
	if c.Concurrency < 1 {
		return config.Problemf("--concurrency", "must be at least 1, not %d", c.Concurrency)
	}
	if c.DeliverTimeout <= 0 {
		return config.Problemf("--deliver-timeout", "must be more than 0")
	}
	e := p.examine(ctx, c)
	defer e.close()
	results := e.run(ctx, func(r doctor.Result) {
		if !c.JSON {
			p.printCheck(r)
		}
	})
	err := c.print(p, results)
	if err == nil && ctx.Err() != nil {
		err = errors.New("interrupted before everything was looked at")
	}
	return err
}

func (c *doctorCmd) print(p *program, results []doctor.Result) error {
	if c.JSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(results); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.stdout, "\n%s\n", doctor.Summary(results))
	}
	if doctor.Failed(results) {
		return errSilent // it has all been said
	}
	return nil
}

// doctorLine is a result as one line.
func doctorLine(r doctor.Result) string {
	line := fmt.Sprintf("%-8s %-26s %s", r.Status, r.Check, r.Detail)
	if r.Mend != "" {
		line += "  → " + r.Mend
	}
	return line
}

// examine works out the settings; it asks the metadata server, and nobody else.
func (p *program) examine(ctx context.Context, cmd *doctorCmd) *examination {
	completed := *p.config.Settings
	inner := *p
	inner.config = &config.Config{Settings: &completed, Env: p.config.Env, Role: config.Diagnoses}
	e := &examination{
		program: &inner, cmd: cmd, detector: p.config.Detector(),
		problems: map[string]doctor.Finding{}, detected: map[string]string{}, undecided: map[string]bool{}, guessed: map[string]bool{},
		http:     &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		dialJobs: dialJobs, dialServices: dialServices,
		inspect: func(ctx context.Context, db database) (dbfacts.Facts, error) {
			inspector, err := stores.As[stores.Inspector](db)
			if err != nil {
				return dbfacts.Facts{}, err
			}
			return inspector.Inspect(ctx)
		},
	}
	e.dial = func(ctx context.Context) (*apiv2.Client, error) {
		return cloudtasks.Dial(ctx, cloudtasks.DialConfig{EmulatorHost: completed.CloudTasksEmulatorHost})
	}
	e.judgeMode()
	e.detect(ctx)
	e.judge(ctx)
	return e
}

// leastSecret is the length from which a secret is looked for in findings: shorter
// ones are words of ours too, and the gap in a sentence would give them away.
const leastSecret = 8

// run runs all checks. No finding tells a secret.
func (e *examination) run(ctx context.Context, report func(doctor.Result)) []doctor.Result {
	var hide []string
	for _, secret := range config.Secrets(e.config.Settings, e.sources.Provided()) {
		if len(secret) >= leastSecret {
			hide = append(hide, secret, "xxxxx")
		}
	}
	scrub := strings.NewReplacer(hide...)
	checks := e.checks()
	for i := range checks {
		look := checks[i].Look
		checks[i].Look = func(ctx context.Context) doctor.Finding {
			found := look(ctx)
			found.Detail, found.Mend = scrub.Replace(found.Detail), scrub.Replace(found.Mend)
			return found
		}
	}
	limits := doctorLimits
	for _, check := range checks {
		if check.Skip == "" {
			limits.All += check.Limit
		}
	}
	return doctor.Run(ctx, limits, checks, report)
}

// checks are all of them, in the order in which they are printed.
func (e *examination) checks() []doctor.Check {
	checks := []doctor.Check{{Name: "platform", Look: e.checkPlatform}}
	checks = append(checks, e.settingChecks()...)
	checks = append(checks, doctor.Check{Name: "variables", Look: e.checkVariables})
	if e.own.Setup != nil {
		checks = append(checks, doctor.Check{Name: "setup", Look: e.checkSetup})
	}
	checks = append(checks, doctor.Check{Name: "access", Look: e.checkAccess,
		Needs: []string{"TASKS_MODE", "TASK_API_TOKEN", "TASK_HMAC_SECRET", "OIDC_SERVICE_ACCOUNT_EMAIL", "OIDC_AUDIENCE", "OIDC_ALLOWED_EMAILS", "OIDC_ISSUER", "OIDC_CERTS_URL", "TASK_HANDLER_URL"}})
	checks = append(checks, e.databaseChecks()...)
	checks = append(checks, e.cloudChecks()...)
	checks = append(checks, e.jobChecks()...)
	checks = append(checks, e.handlerChecks()...)
	checks = append(checks, e.deliverCheck())
	return append(checks, doctor.Check{Name: "sweeper", Skip: e.noCloudTasks(), Needs: []string{"schema"}, Look: e.checkSweeper})
}

// checkSetup reports what became of the program's Setup.
func (e *examination) checkSetup(context.Context) doctor.Finding {
	switch {
	case e.setupFailed != nil:
		return doctor.Failf("correct what the error names", "%s", oneLine(e.setupFailed))
	case e.app == nil:
		return doctor.Skipf("the settings are not right yet, so Setup was not called")
	}
	return doctor.Okf("%d tasks are registered", len(e.known.Tasks())-1) // one is doctor's own
}

// noCloudTasks is why a check of cloudtasks mode is skipped; empty: it is not.
func (e *examination) noCloudTasks() string {
	switch {
	case e.mode != config.ModeCloudTasks:
		return e.mode + " mode"
	case e.target == nil:
		return "the settings do not say where tasks go"
	}
	return ""
}

func (e *examination) close() {
	if e.app != nil {
		e.app.close()
	}
	if e.db != nil {
		_ = stores.Close(e.db, stores.CloseTime)
	}
	if e.tasks != nil {
		_ = e.tasks.Close()
	}
	if e.jobs != nil {
		_ = e.jobs.Close()
	}
}
