package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/claimcheck-go/claimcheck/cloudtasks"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/stores"
)

// known is the value of a setting for a command, or a placeholder where the setting
// is missing or wrong.
func known(setting, value, placeholder string) string {
	if value == "" || value == standIns[setting] {
		return placeholder
	}
	return value
}

// checkSweeper reads when the sweeper last ran; a scheduler calls it every
// minute.
func (d *Diagnosis) checkSweeper(ctx context.Context) Finding {
	if d.db == nil {
		return Skipf("there is no database yet")
	}
	db, err := stores.As[queue.Operator](d.db)
	if err != nil {
		return Skipf("%s", err)
	}
	marks, err := db.Touched(ctx)
	if err != nil {
		return Failf("", "%s", err)
	}
	origin, audience := cloudtasks.WithoutTag(d.handlerOrigin(ctx)), firstIn(d.target.Audiences) // a tag's revision may go
	if d.config.Settings.TaskHandlerURL == standIns["TASK_HANDLER_URL"] {
		if audience == origin {
			audience = "URL_OF_THE_SERVICE"
		}
		origin = "URL_OF_THE_SERVICE"
	}
	fix := fmt.Sprintf("gcloud scheduler jobs create http claimcheck-sweep --location=%s --project=%s --schedule='* * * * *' --uri=%s/tasks/sweep/ --http-method=POST --oidc-service-account-email=%s --oidc-token-audience=%s",
		known("CLOUD_TASKS_LOCATION", d.config.Settings.CloudTasksLocation, "LOCATION"), known("CLOUD_TASKS_PROJECT", d.config.Settings.CloudTasksProject, "PROJECT"),
		origin, known("OIDC_SERVICE_ACCOUNT_EMAIL", d.config.Settings.OIDCServiceAccountEmail, "ACCOUNT_THAT_MAY_CALL"), audience)
	if d.target.Tasks.AppEngine != nil {
		fix = "gcloud app deploy cron.yaml"
	}
	if d.config.Settings.CloudTasksEmulatorHost != "" { // no scheduler reaches this machine
		fix = d.Name + " sweep"
	}
	swept, seen := marks[queue.TouchSwept]
	if !seen {
		return Warnf(fix, "it has never run: tasks whose ticket was lost wait forever")
	}
	now := time.Now()
	if !d.facts.Now.IsZero() {
		now = d.facts.Now
	}
	ago := max(0, now.Sub(swept)).Round(time.Second)
	if ago > longSinceSwept {
		return Warnf(fix, "it last ran %s ago: tasks whose ticket was lost wait for it", ago)
	}
	return Okf("ran %s ago", ago)
}

// longSinceSwept is the time after which a scheduler that calls every minute has missed enough
// calls to be checked.
const longSinceSwept = 10 * time.Minute

func firstIn(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
