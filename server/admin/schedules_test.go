package admin_test

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func (s *site) shows(path string, wants ...string) {
	s.t.Helper()
	page := s.get(path)
	for _, want := range wants {
		if !strings.Contains(page.Body.String(), want) {
			s.t.Errorf("%s (%d) does not show %q:\n%s", path, page.Code, want, page.Body)
		}
	}
}

func TestSchedulesFromMakingToDeleting(t *testing.T) {
	s := newSite(t, nil)
	s.shows("/admin/schedules", "No schedules.", "Create or change a schedule")
	task := s.client.Registry().Tasks()[0].Name
	form := url.Values{"name": {"nightly"}, "task": {task}, "spec": {"0 9 * * 1-5"}, "zone": {"Europe/Berlin"}, "catch_up": {"all"}, "overlap": {"skip"}, "args": {`{}`}}
	wrong := url.Values{"name": {"nightly"}, "task": {task}, "spec": {"<often>"}, "args": {`{}`}}
	if refused := s.post("/admin/schedule/put", wrong); refused.Code != http.StatusBadRequest || !strings.Contains(refused.Body.String(), "use five fields") || strings.Contains(refused.Body.String(), "<often>") {
		t.Errorf("%d %s", refused.Code, refused.Body)
	}
	made := s.follow(s.post("/admin/schedule/put", form))
	for _, want := range []string{"Schedule nightly is created.", "Next times", "Europe/Berlin", "data-reader", "It has not enqueued anything yet."} {
		if !strings.Contains(made.Body.String(), want) {
			t.Errorf("no %q: %s", want, made.Body)
		}
	}
	act := func(do string) string {
		return s.follow(s.post("/admin/schedule/act", url.Values{"name": {"nightly"}, "do": {do}})).Body.String()
	}
	if page := act("pause"); !strings.Contains(page, "Schedule nightly is paused.") || !strings.Contains(page, " by ops.") {
		t.Error(page)
	}
	s.shows("/admin/schedules", `<b class="tag warn">paused</b>`)
	if page := act("run"); !strings.Contains(page, "was enqueued once") || !strings.Contains(page, "READY") {
		t.Error(page)
	}
	if page := act("resume"); !strings.Contains(page, "Schedule nightly is resumed.") {
		t.Error(page)
	}
	if page := act("delete"); !strings.Contains(page, "Schedule nightly is deleted.") {
		t.Error(page)
	}
	s.shows("/admin/audit", "pause schedule", "delete schedule", "schedule nightly", "done")
	if text := plain(s.get("/admin/audit").Body.String()); strings.Contains(text, "1 task") { // none of these is about tasks
		t.Error(text)
	}
	if page := s.get("/admin/schedules/nightly"); page.Code != http.StatusNotFound || !strings.Contains(page.Body.String(), "No such schedule") {
		t.Errorf("%d %s", page.Code, page.Body)
	}
	if page := s.post("/admin/schedule/act", url.Values{"name": {"nightly"}, "do": {"stop"}}); page.Code != http.StatusBadRequest {
		t.Errorf("%d %s", page.Code, page.Body)
	}
}

func TestHistoryNamesTheTaskThatHeldTheKey(t *testing.T) {
	s := newSite(t, nil)
	task := s.client.Registry().Tasks()[0].Name
	request := queue.ScheduleRequest{Name: "s", Task: task, Spec: "@daily", Args: map[string]any{}, Options: []queue.Option{queue.Unique("k")}}
	if _, _, err := s.client.PutSchedule(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	handle, err := s.client.RunSchedule(t.Context(), "s", "ops")
	for range 2 {
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.client.RunSchedule(t.Context(), "s", "ops")
	}
	s.shows("/admin/schedules/s", "<dt>queue_name</dt>", "<dt>priority</dt>", `skipped: <a href="/admin/tasks/`+handle.ID.String()+`">another task</a> held its key`)
}

func TestFormKeepsTheOptionsThatItDoesNotShow(t *testing.T) {
	s := newSite(t, nil)
	tasks := s.client.Registry().Tasks()
	request := queue.ScheduleRequest{
		Name: "s", Task: tasks[0].Name, Spec: "@daily", Zone: "Europe/Berlin", Args: map[string]any{}, CatchUp: queue.CatchUpAll, Paused: true,
		Options: []queue.Option{queue.Priority(7), queue.OnQueue("other"), queue.ExpiresIn(time.Hour), queue.Unique("k"), queue.Keep(time.Hour, 2*time.Hour)},
	}
	before, _, err := s.client.PutSchedule(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	s.shows("/admin/schedules/s", `href="/admin/schedules?change=s#change">Change…`)
	s.shows("/admin/schedules?change=s", `name="name" value="s"`, `value="`+request.Task+`" list`, `value="@daily"`, `value="Europe/Berlin"`, `<option value="all" selected>enqueue each<`, "are kept, and so is a pause")
	form := url.Values{"name": {"s"}, "task": {request.Task}, "spec": {"@hourly"}, "zone": {"UTC"}, "catch_up": {"one"}, "overlap": {"skip"}, "args": {`{}`}}
	if page := s.follow(s.post("/admin/schedule/put", form)).Body.String(); !strings.Contains(page, "The options of its tasks are kept. It stays paused.") {
		t.Error(page)
	}
	after, err := s.client.Schedule(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(after.Options, before.Options) || after.Priority != 7 || after.Queue != "other" || !after.Paused() || after.Spec != "@hourly" {
		t.Errorf("%+v, before %+v", after, before)
	}
	form.Set("task", tasks[1].Name)
	if page := s.follow(s.post("/admin/schedule/put", form)).Body.String(); !strings.Contains(page, "Its task is a different one, so its options are that task&#39;s defaults.") {
		t.Error(page)
	}
	if after, err = s.client.Schedule(t.Context(), "s"); err != nil || after.Priority == 7 || after.Options.UniqueKey != "" {
		t.Errorf("%+v %v", after, err)
	}
	if page := s.get("/admin/schedules?change=none"); page.Code != http.StatusNotFound {
		t.Errorf("%d %s", page.Code, page.Body)
	}
}

func TestLateAndFailingSchedulesAreOnTheOverview(t *testing.T) {
	s := newSite(t, nil)
	task := s.client.Registry().Tasks()[0].Name
	for _, name := range []string{"late", "failing"} {
		if _, _, err := s.client.PutSchedule(t.Context(), queue.ScheduleRequest{Name: name, Task: task, Spec: "@daily", Args: map[string]any{}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.db.ExecContext(t.Context(), "UPDATE claimcheck_schedules SET next_at = next_at - 172800000000 WHERE name = 'late'"); err != nil {
		t.Fatal(err)
	}
	handle, err := s.client.RunSchedule(t.Context(), "failing", "ops")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.ExecContext(t.Context(), "UPDATE claimcheck_tasks SET status = 'FAILED', finished_at = enqueued_at WHERE id = ?", handle.ID.String()); err != nil {
		t.Fatal(err)
	}
	s.shows("/admin/", "")
	s.shows("/admin/", "Schedule late is late", "Schedule failing is failing")
}
