package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/internal/config"
)

// In cloudtasks mode an existing program needs no Run: what it enqueues is delivered,
// with a token that is verified, to the handler that it mounts. Open's context is
// over by then.
func TestOpenInCloudTasksMode(t *testing.T) {
	t.Parallel()
	cloud := procNewCloud(t)
	ran := make(chan string, 1)
	greet := queue.NewTaskFunc("greet", func(ctx context.Context, name string) error {
		info, _ := queue.InfoFrom(ctx)
		ran <- name + " in " + info.Queue
		return nil
	})
	cfg := appConfig(t, greet)
	cfg.Settings = Settings{
		DatabaseURL: "sqlite:" + filepath.Join(t.TempDir(), "app.db"), TasksMode: config.ModeCloudTasks,
		CloudTasksProject: "proc", CloudTasksLocation: "europe-west1", CloudTasksEmulatorHost: cloud.api,
		TaskHandlerURL: cloud.front.URL + "/tasks/execute/{task_id}/", OIDCServiceAccountEmail: procAccount,
		OIDCIssuer: cloud.certs.URL, OIDCCertsURL: cloud.certs.URL,
	}
	cfg.Migrate = true
	opening, cancel := context.WithCancel(t.Context())
	app, err := Open(opening, cfg)
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/tasks/", app.TasksHandler())
	site := httptest.NewServer(mux)
	defer site.Close()
	address, err := url.Parse(site.URL)
	if err != nil {
		t.Fatal(err)
	}
	cloud.proxy.Store(address)
	handle, err := greet.Enqueue(t.Context(), app.Client(), "world")
	if err != nil || handle.Row.DispatchError != "" {
		t.Fatalf("%v %s", err, handle.Row.DispatchError)
	}
	if got := <-ran; got != "world in default" {
		t.Errorf("ran with %q", got)
	}
	if delivered := cloud.wantAnswers(handle.ID, http.StatusOK); delivered[0].header.Get("Authorization") == "" {
		t.Error("the delivery had no token")
	}
	for name, c := range map[string]struct{ email, audience string }{"of another account": {"mallory@proc.iam.gserviceaccount.com", cloud.front.URL}, "for another audience": {procAccount, "https://elsewhere.example"}} {
		token, err := cloud.Token(c.email, c.audience)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/tasks/execute/"+handle.ID.String()+"/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		if app.TasksHandler().ServeHTTP(w, r); w.Code != http.StatusUnauthorized && w.Code != http.StatusForbidden {
			t.Errorf("a token %s: %d %s", name, w.Code, w.Body)
		}
	}
	if err := app.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
