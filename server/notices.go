package server

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
	"github.com/claimcheck-go/claimcheck/server/notice"
)

// makeNotices makes what reports problems; nil without TASKS_NOTICE_URL.
func (p *program) makeNotices(app *App) (*notice.Notices, error) {
	s := p.config.Settings
	if s.TasksNoticeURL == "" {
		return nil, nil
	}
	var problems []error
	if s.TasksNoticeInterval < time.Second {
		problems = append(problems, config.Problemf("TASKS_NOTICE_INTERVAL", "must be at least 1s, not %s", s.TasksNoticeInterval))
	}
	if s.TasksNoticeFailures < 1 {
		problems = append(problems, config.Problemf("TASKS_NOTICE_FAILURES", "must be at least 1, not %d", s.TasksNoticeFailures))
	}
	if allowed := config.NonEmpty(s.TasksQueues); len(allowed) > 0 && !slices.Contains(allowed, s.TasksNoticeQueue) {
		problems = append(problems, config.Problemf("TASKS_NOTICE_QUEUE", "%q is not in TASKS_QUEUES: add it there, or name one of these", s.TasksNoticeQueue))
	}
	cfg := notice.Config{
		URL: s.TasksNoticeURL, Secret: s.WebhookSecret, AllowHosts: config.NonEmpty(s.WebhookAllowHosts),
		AdminURL: p.adminURL(app), Program: p.name, Queue: s.TasksNoticeQueue, Interval: s.TasksNoticeInterval, Failures: s.TasksNoticeFailures,
		Dispatches: app.mode != config.ModePull, SweepEvery: p.sweepsExpected(app.mode), Sweeper: p.sweeperRemedy(), Logger: app.log,
	}
	if s.TasksNoticeFormat != "auto" {
		cfg.Format = notice.Format(s.TasksNoticeFormat)
	}
	made, err := notice.New(cfg)
	if wrong, ok := errors.AsType[*notice.ConfigError](err); ok {
		err = config.Problemf(map[string]string{
			"URL": "TASKS_NOTICE_URL", "AdminURL": "TASKS_NOTICE_ADMIN_URL", "Secret": "WEBHOOK_SECRET", "AllowHosts": "WEBHOOK_ALLOW_HOSTS",
		}[wrong.Field], "%s", wrong.Text)
	}
	return made, errors.Join(append(problems, err)...)
}

// adminURL is the address of the pages; empty if it is not known.
func (p *program) adminURL(app *App) string {
	if set := p.config.Settings.TasksNoticeAdminURL; set != "" {
		return set
	}
	if app.target == nil {
		return ""
	}
	u, err := url.Parse(app.target.Tasks.HandlerURL)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host + strings.TrimRight(p.config.Settings.AdminProxyPrefix, "/") + p.config.AdminPath()
}

// refuseNotices panics, as package queue does, about a task with the name of the one that
// delivers notices.
func refuseNotices(tasks *queue.Registry) {
	for _, task := range tasks.Tasks() {
		if task.Name == notice.TaskName || slices.Contains(task.Aliases, notice.TaskName) {
			panic(notice.TaskName + " is reserved for notices of problems: choose another name")
		}
	}
}
