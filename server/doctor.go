package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/internal/doctor"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

type doctorCmd struct {
	MaxInstances   int           `placeholder:"N" help:"Instances that may run at once, for the checks of connections and queues. Default: not known."`
	Concurrency    int           `default:"80" help:"Tasks that one instance runs at once, as serve has it."`
	Deliver        bool          `help:"Make one real delivery: enqueue a probe task that does nothing, and wait until the running service has run it."`
	DeliverTimeout time.Duration `default:"60s" placeholder:"60s" help:"How long --deliver waits; a bare number is seconds."`
	Integrity      bool          `help:"SQLite: look through the whole file (integrity_check), however long that takes."`
	JSON           bool          `name:"json" help:"Print a list of {check, status, detail, fix}."`
}

// Help says what it does to the world, and shows examples.
func (*doctorCmd) Help() string {
	return `Looks at everything that must be right for tasks to run, and prints one line a
check: ok, warn, fail or skipped, what was seen, and after an arrow what fixes it.
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
	d := doctor.New(ctx, p.diagnosis(c))
	defer d.Close()
	results := d.Run(ctx, func(r doctor.Result) {
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
		return errSilent // the results are printed
	}
	return nil
}

// doctorLine is a result as one line.
func doctorLine(r doctor.Result) string {
	line := fmt.Sprintf("%-8s %-26s %s", r.Status, r.Check, r.Detail)
	if r.Fix != "" {
		line += "  → " + r.Fix
	}
	return line
}

// diagnosis is what the checks need of this program.
func (p *program) diagnosis(c *doctorCmd) doctor.Config {
	with := func(cfg *config.Config) *program {
		other := *p
		other.config = cfg
		return &other
	}
	quiet := func(cfg *config.Config, target *config.Target) *App {
		mode, _ := cfg.Mode() // it is valid: the checks have replaced what is not
		return &App{mode: mode, target: target, log: slog.New(slog.DiscardHandler)}
	}
	setup := &setupCheck{}
	cfg := doctor.Config{
		Options: doctor.Options{
			MaxInstances: c.MaxInstances, Concurrency: c.Concurrency, Deliver: c.Deliver, DeliverTimeout: c.DeliverTimeout, Integrity: c.Integrity,
		},
		Name: p.name, Settings: p.config.Settings, Env: p.config.Env, Sources: p.sources, Blank: p.blank, Misspelt: p.misspelt,
		Validate: func(ctx context.Context, cfg *config.Config) (*queue.Registry, error) {
			return setup.plan(ctx, with(cfg))
		},
		ValidateAccess: func(cfg *config.Config, target *config.Target) error {
			app := quiet(cfg, target)
			_, err := with(cfg).adminAccess(app)
			if target != nil {
				_, wrong := with(cfg).verifier(target, app.log)
				err = errors.Join(err, wrong)
			}
			return err
		},
		Authenticate: func(cfg *config.Config, target *config.Target) error {
			other := with(cfg)
			_, err := other.authenticator(quiet(cfg, target), (&serveCmd{}).listen(other))
			return err
		},
		Opener: func(cfg *config.Config) (func(context.Context) (stores.Database, error), error) {
			return with(cfg).databaseOpener(opening{unchecked: true})
		},
		DialJobs: p.dialJobs,
		OnClose:  setup.close,
	}
	if p.own.Codec != nil {
		cfg.OwnKeys = p.own.Codec.Keys()
	}
	if p.own.Setup != nil {
		cfg.Setup, cfg.OwnPool = setup.check, setup.ownPool
	}
	return cfg
}

// setupCheck reports how the program's Setup ended.
type setupCheck struct {
	app    *App // nil if the settings are wrong
	tasks  int
	failed *setupError
}

// plan checks the settings as serve does, which includes Setup.
func (s *setupCheck) plan(ctx context.Context, p *program) (*queue.Registry, error) {
	app, err := p.plan(ctx, true, true)
	s.app, s.tasks = app, len(p.known.Tasks())-1 // one is doctor's own
	if errors.As(err, &s.failed) {
		err = nil // it is the finding of check
	}
	return p.known, err
}

func (s *setupCheck) check(context.Context) doctor.Finding {
	switch {
	case s.failed != nil:
		return doctor.Failf("correct what the error names", "%s", oneLine(s.failed))
	case s.app == nil:
		return doctor.Skipf("the settings are not right yet, so Setup was not called")
	}
	if s.tasks == 1 {
		return doctor.Okf("1 task is registered")
	}
	return doctor.Okf("%d tasks are registered", s.tasks)
}

func (s *setupCheck) close() {
	if s.app != nil {
		s.app.close()
	}
}

// ownPool reports whether Setup asked for a pool of its own.
func (s *setupCheck) ownPool() bool { return s.app != nil && s.app.hasOwnPool() }
