package admin_test

import (
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// A task whose key the program lacks is warned about, and its page shows no values.
func TestTasksWithoutAKeyAreWarnedAbout(t *testing.T) {
	hash, key := aead.NewKey(aead.HashKey).Secret, aead.NewKey("k1")
	keyring, err := aead.New(hash, key)
	if err != nil {
		t.Fatal(err)
	}
	with := newSite(t, func(_ *admin.Config, q *queue.Config) { q.Codec = keyring })
	id := with.enqueue("search.reindex", `{"secret":"4711"}`)
	if _, _, err := with.client.PutSchedule(t.Context(), queue.ScheduleRequest{Name: "s", Task: "search.reindex", Spec: "@daily", Args: map[string]any{"secret": "4711"}}); err != nil {
		t.Fatal(err)
	}
	with.shows("/admin/schedules/s", "4711")
	with.shows("/admin/schedules?change=s", "4711")
	if page := with.get("/admin/tasks/" + id.String()).Body.String(); !strings.Contains(page, "4711") || !strings.Contains(page, "with key <span translate=\"no\">"+key.ID) {
		t.Error("with the key the arguments are not shown")
	}
	if _, err := with.db.ExecContext(t.Context(), `UPDATE claimcheck_tasks SET dispatch_due_at = dispatch_due_at - 86400000000`); err != nil {
		t.Fatal(err)
	}
	other, err := aead.New(hash, aead.NewKey("k2"))
	if err != nil {
		t.Fatal(err)
	}
	var path string
	if err := with.db.QueryRowContext(t.Context(), `SELECT file FROM pragma_database_list`).Scan(&path); err != nil {
		t.Fatal(err)
	}
	without := openSite(t, path, func(_ *admin.Config, q *queue.Config) { q.Codec = other })
	if w := without.warning("Encryption key " + key.ID); !strings.Contains(w.why, "1 task waits. Deploy a program that has the key.") {
		t.Errorf("%+v", w)
	}
	if page := without.get("/admin/").Body.String(); strings.Contains(page, "stranded</h2>") {
		t.Error("the same task is reported as stranded, too")
	}
	without.shows("/admin/schedules/s", `<p class="empty">encrypted</p>`, "which this program does not have", `value="delete">Delete<`)
	for _, path := range []string{"/admin/schedules/s", "/admin/schedules", "/admin/schedules?change=s"} {
		if page := without.get(path).Body.String(); strings.Contains(page, "claimcheck:1:") || strings.Contains(page, "Change…") {
			t.Errorf("%s shows what is stored, or offers to change it", path)
		}
	}
	page := without.get("/admin/tasks/" + id.String()).Body.String()
	// The ciphertext is not offered as the arguments of another task.
	if strings.Contains(page, "claimcheck:1:") || !strings.Contains(page, `<p class="empty">encrypted</p>`) || strings.Contains(page, "curl-enqueue") {
		t.Error("the page shows what is stored, or offers to enqueue it")
	}
	form := without.get("/admin/types/search.reindex?from=" + id.String()).Body.String()
	if strings.Contains(form, "claimcheck:1:") || !strings.Contains(form, "could not be decrypted, so they are not filled in") {
		t.Error("the form has what is stored as its arguments")
	}
	if strings.Contains(page, "4711") || !strings.Contains(page, "the task is encrypted with key "+key.ID+", which this program does not have") {
		t.Error("without the key the page shows the arguments, or does not say why not")
	}
}
