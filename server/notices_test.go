package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/notice"
)

// A server in local mode sweeps, finds what needs a look, and posts the notice itself.
func TestAServerSendsNotices(t *testing.T) {
	t.Parallel()
	bodies := make(chan []byte, 10)
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- body
	}))
	defer sink.Close()
	at, err := url.Parse(sink.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg := appConfig(t, testTasks...)
	cfg.Name = "shop"
	interval := time.Second
	cfg.Settings.TasksSweepInterval = &interval
	cfg.Settings.TasksNoticeURL, cfg.Settings.TasksNoticeFormat, cfg.Settings.TasksNoticeInterval = sink.URL, "slack", time.Second
	cfg.Settings.TasksNoticeFailures, cfg.Settings.WebhookAllowHosts = 2, []string{at.Host}
	cfg.Settings.TasksNoticeAdminURL = "https://ops.example.com/admin"
	app := openApp(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = app.Run(ctx) }()
	for range 2 {
		if _, err := app.Client().Enqueue(t.Context(), "demo.fail", map[string]string{"message": "secret reason"}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case body := <-bodies:
		var slack struct{ Text string }
		if err := json.Unmarshal(body, &slack); err != nil || !strings.Contains(slack.Text, "|shop>*: 1 new problem\n• <https://ops.example.com/admin/tasks?task=demo.fail&view=failed|2 tasks named demo.fail are FAILED with the same error>") || strings.Contains(slack.Text, "secret") {
			t.Errorf("%s, %v", body, err)
		}
	case <-time.After(time.Minute):
		t.Fatal("no notice")
	}
}

// Without the setting nothing looks: there is no task, no hook and no document.
func TestNoticesAreOffByDefault(t *testing.T) {
	t.Parallel()
	app := openApp(t, appConfig(t, testTasks...))
	for _, task := range app.Client().Registry().Tasks() {
		if task.Name == notice.TaskName {
			t.Error("the task is registered")
		}
	}
	if app.config.Hooks.Swept != nil {
		t.Error("sweeps look for problems")
	}
	if _, err := app.Client().Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if document, version, err := app.Client().State(t.Context(), "notices"); err != nil || version != 0 {
		t.Errorf("%s %d %v", document, version, err)
	}
	_, err := Open(t.Context(), Config{IgnoreEnv: true, Tasks: []queue.Definition{queue.NewTask(notice.TaskName, func(context.Context, any) (any, error) { return nil, nil })}})
	if err == nil || !strings.Contains(err.Error(), notice.TaskName+" is reserved") {
		t.Errorf("a task of that name: %v", err)
	}
}
