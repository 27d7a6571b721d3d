package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
)

func TestSchedulesFromMakingToDeleting(t *testing.T) {
	a := newAPI(t, nil)
	a.expect("none", a.do("GET", "/tasks/schedules/", ""), 200, `{"schedules":[]}`)
	a.expect("new", a.do("PUT", "/tasks/schedules/nightly/", `{"task":"t.echo","args":{"a":1},"spec":"0 9 * * 1-5","zone":"Europe/Berlin","catch_up":"all","overlap":"skip","queue_name":"q","priority":-3}`),
		201, `{"schedule":{"name":"nightly","task_path":"t.echo","spec":"0 9 * * 1-5","zone":"Europe/Berlin","args":{"a":1},"queue_name":"q","backend_name":"default","priority":-3,"catch_up":"all","overlap":"skip","paused":false,"next_at":"`)
	a.expect("changed", a.do("PUT", "/tasks/schedules/nightly", `{"task":"t.echo","spec":"@every 90s"}`),
		200, `{"schedule":{"name":"nightly","task_path":"t.echo","spec":"@every 90s","zone":"UTC","args":null,"queue_name":"default","backend_name":"default","priority":0,"catch_up":"one","overlap":"allow","paused":false,"next_at":"`)
	a.expect("paused", a.do("POST", "/tasks/schedules/nightly/pause/", ""), 200, `"paused":true,"paused_at":"`)
	a.expect("list", a.do("GET", "/tasks/schedules", ""), 200, `"next_at":null,"last_at":null,"last_task_id":null,"max_attempts":10}]}`)
	run := a.do("POST", "/tasks/schedules/nightly/run/", "{}")
	a.expect("run while paused", run, 201, `{"result":{"id":"`)
	a.expect("run while paused", run, 201, `"schedule":"nightly","scheduled_for":"`)
	a.expect("resumed", a.do("POST", "/tasks/schedules/nightly/resume", ""), 200, `"paused":false`)
	one := a.do("GET", "/tasks/schedules/nightly/", "")
	if times, _ := one.body["next_times"].([]any); one.status != 200 || len(times) != 5 {
		t.Errorf("%d %s", one.status, one.text)
	}
	if history, _ := one.body["occurrences"].([]any); len(history) != 1 {
		t.Errorf("%s", one.text)
	}
	a.expect("deleted", a.do("DELETE", "/tasks/schedules/nightly/", ""), 200, `{"deleted":true}`)
	for _, request := range []string{"DELETE ", "GET ", "POST pause/", "POST resume/", "POST run/"} {
		method, action, _ := strings.Cut(request, " ")
		a.expect(request, a.do(method, "/tasks/schedules/nightly/"+action, ""), 404, `{"error":"Schedule not found"}`)
	}
}

func TestRefusedSchedules(t *testing.T) {
	a := newAPI(t, nil)
	for body, want := range map[string]string{
		`{"task":"t.echo"}`:                                   "spec must be a cron expression",
		`{"spec":"@daily"}`:                                   "task must be the name of a registered task",
		`{"task":"t.echos","spec":"@daily"}`:                  "did you mean t.echo",
		`{"task":"t.echo","spec":"* * *"}`:                    "use five fields",
		`{"task":"t.echo","spec":"@daily","zone":"Atlantis"}`: `zone "Atlantis" is not known`,
		`{"task":"t.echo","spec":"@daily","catch_up":"two"}`:  "catch_up must be skip, one or all",
		`{"task":"t.echo","spec":"@daily","overlap":"no"}`:    "overlap must be allow or skip",
		`{"task":"t.echo","spec":"@daily","priority":101}`:    "priority must be",
		`{"task":"t.echo","spec":"@daily","paused":"yes"}`:    "paused must be",
		`{"task":"t.echo","spec":"@daily","queue_name":"/"}`:  "queue_name",
		`{"task":"t.echo","spec":"@daily","every":"1s"}`:      `unknown field "every"`,
		`{"task":"t.typed","spec":"@daily","args":{"N":"x"}}`: "args of t.typed",

		`{"task":"t.echo","spec":"@daily","run_after":"2030-01-01T00:00:00Z"}`:     "run_after is not a field of a schedule: an occurrence is due at its time, so change spec",
		`{"task":"t.echo","spec":"@daily","expires_at":"2030-01-01T00:00:00Z"}`:    "expires_at is not a field of a schedule: use expires_in",
		`{"task":"t.echo","spec":"@daily","id":"x"}`:                               "id is not a field of a schedule",
		`{"task":"t.echo","spec":"@daily","unique_key":"k","on_conflict":"error"}`: "on_conflict is not a field of a schedule: leave it out",
		`{"task":"t.echo","spec":"@daily","expires_in":"10ms"}`:                    "expires_in of a schedule must be at least 1s",
		`{"task":"t.echo","spec":"@daily","expires_in":5}`:                         "expires_in must be",
		`{"task":"t.echo","spec":"@daily","keep_failed":"1h"}`:                     "keep_successful and keep_failed belong together",
		`{"task":"t.echo","spec":"@daily","unique_key":""}`:                        "unique_key must be 1 to 200 bytes",
		`{"task":"t.echo","spec":"@daily","unique_for":"1h"}`:                      "unique_for needs unique_key",
		`{"task":"t.echo","spec":"@daily","unique_key":"k","unique_for":"soon"}`:   "unique_for must be",
		`[]`: "Invalid JSON",
	} {
		got := a.do("PUT", "/tasks/schedules/s/", body)
		if text := fmt.Sprint(got.body["error"]); got.status != 400 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s, want %s", body, got.status, got.text, want)
		}
	}
	a.expect("name", a.do("PUT", "/tasks/schedules/a%20b/", `{"task":"t.echo","spec":"@daily"}`), 400, "the name of a schedule")
	a.expect("query", a.do("PUT", "/tasks/schedules/s/?task=t.echo", `{"task":"t.echo","spec":"@daily"}`), 400, "is not read with PUT")
	a.expect("none was made", a.do("GET", "/tasks/schedules/", ""), 200, `{"schedules":[]}`)
	if got := a.do("PATCH", "/tasks/schedules/s/", ""); got.status != 405 || got.header.Get("Allow") != "GET, PUT, DELETE" {
		t.Errorf("%d, Allow %q", got.status, got.header.Get("Allow"))
	}
	if got := a.do("GET", "/tasks/schedules/s/run/", ""); got.status != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("%d, Allow %q", got.status, got.header.Get("Allow"))
	}
	for _, path := range []string{"/tasks/schedules/s/stop/", "/tasks/schedules/s/run/now/", "/tasks/schedules//run/"} {
		if got := a.do("POST", path, ""); got.status != 404 {
			t.Errorf("%s: %d %s", path, got.status, got.text)
		}
	}
}

func TestOptionsOfSchedules(t *testing.T) {
	a := newAPI(t, nil)
	a.expect("new", a.do("PUT", "/tasks/schedules/s/", `{"task":"t.echo","spec":"@daily","keep_successful":"24h","keep_failed":"720h","expires_in":"10m","unique_key":"k","unique_for":"1h"}`),
		201, `"last_task_id":null,"max_attempts":10,"keep_successful":"24h0m0s","keep_failed":"720h0m0s","expires_in":"10m0s","unique_key":"k","unique_for":"1h0m0s"}}`)
	run := a.do("POST", "/tasks/schedules/s/run/", "")
	a.expect("run", run, 201, `"unique_key":"k"`)
	a.expect("run", run, 201, `"expires_at":"`)
	a.expect("again", a.do("POST", "/tasks/schedules/s/run/", ""), 200, `"existed":true}`)
	a.expect("history", a.do("GET", "/tasks/schedules/s/", ""), 200, `","skipped":"key"},{"scheduled_for":"`)
	a.expect("replaced without", a.do("PUT", "/tasks/schedules/s/", `{"task":"t.echo","spec":"@daily"}`), 200, `"args":null`)
	if got := a.do("GET", "/tasks/schedules/s/", ""); strings.Contains(got.text, "unique_key") || strings.Contains(got.text, "keep_") {
		t.Errorf("after a replacement: %s", got.text)
	}
}

// makeDue makes a schedule that has been due for some time.
func (a *api) makeDue(name string, since time.Duration) {
	a.t.Helper()
	err := a.store.(queue.Scheduler).ChangeSchedule(a.t.Context(), name, func(state queue.ScheduleState) (*queue.ScheduleChange, error) {
		at := state.Now.Add(-since).Truncate(time.Second)
		return &queue.ScheduleChange{Schedule: &queue.Schedule{
			Name: name, Task: "t.echo", Spec: "@every 1h", Zone: "UTC", Args: json.RawMessage(`1`), Queue: "default", Backend: "default",
			CatchUp: queue.CatchUpOne, Overlap: queue.OverlapAllow, AnchoredAt: at.Add(-time.Hour), NextAt: at, CreatedAt: at, ChangedAt: at,
		}}, nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

func TestTickEnqueues(t *testing.T) {
	a := newAPI(t, nil)
	a.expect("nothing", a.do("POST", "/tasks/tick/", ""), 200, `{"enqueued":0}`)
	a.makeDue("due", 30*time.Minute)
	a.makeDue("soon", -30*time.Second)
	a.expect("due", a.do("GET", "/tasks/tick/", ""), 200, `{"enqueued":1}`)
	a.expect("ahead", a.do("POST", "/tasks/tick/?ahead=60s", ""), 200, `{"enqueued":1}`)
	a.expect("again", a.do("POST", "/tasks/tick/", `{"ahead":"1h"}`), 200, `{"enqueued":1}`) // due, whose next time is in half an hour
	a.expect("and again", a.do("GET", "/tasks/tick?ahead=1h", ""), 200, `{"enqueued":0}`)
	a.makeDue("other", time.Second)
	a.expect("by a sweep", a.do("POST", "/tasks/sweep/", ""), 200, `"enqueued":1}`)
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/tasks/tick/?ahead=soon", "", "ahead must be a duration from 0s to 1h0m0s"},
		{"GET", "/tasks/tick/?ahead=-1s", "", "ahead must be a duration"},
		{"GET", "/tasks/tick/?ahead=2h", "", "ahead must be a duration"},
		{"POST", "/tasks/tick/", `{"ahead":60}`, "ahead must be"},
		{"POST", "/tasks/tick/?ahead=60s", `{"ahead":"60s"}`, "give it once"},
		{"POST", "/tasks/tick/?limit=1", "", `; accepted: ahead`},
	} {
		a.expect(c.path+c.body, a.do(c.method, c.path, c.body), 400, c.want)
	}
	a.expect("zero", a.do("GET", "/tasks/tick/?ahead=0", ""), 200, `{"enqueued":0}`)
}

func TestAScheduleWarnsOfArgumentsThatItsTaskIgnores(t *testing.T) {
	a := newAPI(t, nil)
	a.expect("misspelt", a.do("PUT", "/tasks/schedules/s/", `{"task":"t.typed","spec":"@daily","args":{"N":1,"M":2}}`), 201, `"warnings":["unknown field args.M; did you mean N?"]`)
	a.expect("right", a.do("PUT", "/tasks/schedules/s/", `{"task":"t.typed","spec":"@daily","args":{"N":1}}`), 200, `{"schedule":{"name":"s"`)
	if answer := a.do("GET", "/tasks/schedules/s/", ""); strings.Contains(answer.text, "warnings") {
		t.Error(answer.text)
	}
}

// A client or a server takes these parts out of a path, so that nothing with such a name
// could be reached.
func TestNamesThatAPathCannotHaveAreRefused(t *testing.T) {
	a := newAPI(t, nil)
	for _, name := range []string{"%2E", "%2E%2E"} {
		a.expect("a schedule", a.do("PUT", "/tasks/schedules/"+name+"/", `{"task":"t.echo","spec":"@daily"}`), 400, `the name of a schedule must be`)
		a.expect("a queue", a.do("POST", "/tasks/queues/"+name+"/pause/", ``), 400, `and not \".\" or \"..\" alone`)
	}
	a.expect("of an enqueue", a.do("POST", "/tasks/enqueue/", `{"task":"t.echo","queue_name":".."}`), 400, `queue_name`)
	a.expect("with dots", a.do("PUT", "/tasks/schedules/a..b./", `{"task":"t.echo","spec":"@daily"}`), 201, `a..b.`)
}

// A scheduler's job shows that a schedule is broken, and the others go on.
func TestTicksAnswerForSchedulesThatFail(t *testing.T) {
	a := newAPI(t, nil)
	for _, name := range []string{"bad", "good"} {
		a.expect(name, a.do("PUT", "/tasks/schedules/"+name+"/", `{"task":"t.echo","spec":"@hourly"}`), 201, "")
		err := a.store.(queue.Scheduler).ChangeSchedule(t.Context(), name, func(state queue.ScheduleState) (*queue.ScheduleChange, error) {
			s := *state.Schedule
			s.NextAt = state.Now
			if name == "bad" {
				s.Spec = "often"
			}
			return &queue.ScheduleChange{Schedule: &s}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	a.expect("tick", a.do("GET", "/tasks/tick/", ""), 500, `{"error":"schedules that are due and could not be enqueued: 1; the log says why; occurrences of others that were: 1"}`)
}
