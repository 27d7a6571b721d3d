package server

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// Config describes a program to [Run] and [Open]. The zero value is a program
// without tasks, with the settings of its environment.
type Config struct {
	// Name is the program's name in help, usage errors and messages such as
	// "run: NAME migrate"; by default the base name of os.Args[0].
	Name string
	// Version is shown by the version command, in the start line and on the pages;
	// by default that of the build information.
	Version string

	// Tasks are the tasks that need no dependencies, and the declarations (see
	// [queue.Declare]) of those that Setup returns. Commands that run nothing need
	// only the declarations.
	Tasks []queue.Definition
	// Schedules say which tasks are enqueued when (see [queue.Every]). They are stored
	// when serve, work or [App.Run] starts, or else with the first sweep or tick: those
	// that are new or have changed, while a pause by an operator stays. One that the
	// program of this Name has stored before, and does not have any more, is shown as
	// removed and does not run. Schedules among Tasks, or returned by Setup, are the same.
	Schedules []*queue.Periodic
	// Limits are limits of queues, and of tasks and limit keys, besides those that are
	// options of tasks (see [queue.LimitRunning]). They are set when serve, work or
	// [App.Run] starts, or else with the first sweep. One that an operator has set or
	// removed is not changed; one that is not here any more stays until an operator
	// removes it.
	Limits []queue.Limit
	// Middleware surrounds all enqueues and runs of the program (see [queue.Middleware]).
	Middleware []queue.Middleware
	// Codec encrypts the arguments and return values of tasks, in place of the keys in
	// TASKS_ENCRYPTION_KEYS: for keys that a service of your own keeps (see [queue.Codec]).
	Codec queue.Codec
	// Setup returns the tasks that need dependencies made with the settings: a
	// connection pool, a mailer. A definition that it returns replaces the
	// declaration of the same name in Tasks. What it opens it registers with
	// [App.OnClose], and it may keep [App.Client], which is ready once Setup has
	// returned and the database is open.
	//
	// It is called once by [Open] and by the commands serve, work, run, enqueue,
	// sweep, tasks, schedules add and run, queues pause, resume and limit, limits set and
	// remove, doctor and retry, once the settings are known to be right and
	// before the database is contacted; by cancel, delete and requeue, which also work
	// where it fails; never by migrate, status, purge, result, list, the other actions of
	// schedules, queues and limits, version, help and completion.
	Setup func(ctx context.Context, app *App) ([]queue.Definition, error)
	// Handler returns the program's own routes: it answers every request whose path
	// is none of /tasks/, TASK_HANDLER_PATH, /admin/ (or AdminPrefix), /health/ and
	// /metrics. It is
	// called once, when the App is otherwise complete. Authentication of these
	// routes is the handler's.
	Handler func(app *App) http.Handler

	// Settings override the environment, setting by setting. A flag of the command
	// line wins over both.
	Settings Settings
	// IgnoreEnv leaves the variables of all settings, and OpenTelemetry's, unread.
	// The variables by which a platform is detected count all the same.
	IgnoreEnv bool
	// OwnVariables are environment variables of the program whose names look like
	// those of settings, such as TASKS_REGION. Others that do are warned about as
	// misspelt.
	OwnVariables []string

	// TasksAuth admits further callers of /tasks/*, besides those that the settings
	// admit.
	TasksAuth httpapi.Authenticator
	// AdminAccess decides who may open /admin/, in place of the settings.
	AdminAccess admin.Access
	// AdminPrefix is the path of the pages, by default /admin. It is not below /tasks,
	// /health and /metrics.
	AdminPrefix string
	// Logger is used in place of one with LOG_LEVEL and LOG_FORMAT on standard error.
	Logger *slog.Logger

	// Concurrency is how many tasks run at once; by default 80 on Cloud Run and App
	// Engine, else 4 per CPU. The flag --concurrency of serve wins over it.
	Concurrency int
	// Migrate brings the database's schema up to date in [Open] and in serve. Local
	// mode always does.
	Migrate bool
}
