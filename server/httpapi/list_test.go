package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/httpapi"
)

// listed returns the IDs of a page.
func (a *api) listed(got reply) (ids []string) {
	a.t.Helper()
	results, ok := got.body["results"].([]any)
	if got.status != http.StatusOK || !ok {
		a.t.Fatalf("%d %s", got.status, got.text)
	}
	for _, result := range results {
		ids = append(ids, result.(map[string]any)["id"].(string))
	}
	return ids
}

func TestTasksAreListedNewestFirst(t *testing.T) {
	a := newAPI(t, nil)
	group := a.groupOf(a.do("POST", "/tasks/groups/", `{}`))["id"].(string)
	one := a.enqueue(`{"task":"t.echo","args":{"user":{"id":4711},"name":"Ann"},"queue_name":"emails"}`)
	two := a.enqueue(`{"task":"t.echo","args":{"user":{"id":"4711"}},"group_id":"` + group + `"}`)
	three := a.enqueue(`{"task":"t.discard","args":{"user":{"id":4712},"ok":true},"priority":7}`)
	for _, id := range []string{two, three} {
		a.do("POST", "/tasks/execute/"+id+"/", "")
	}
	later := a.enqueue(`{"task":"t.echo","args":null,"run_after":"2999-01-01T00:00:00Z"}`)
	for query, want := range map[string][]string{
		"": {later, three, two, one}, "limit=2": {later, three}, "status=READY": {later, one}, "status=FAILED": {three}, "status=successful": {two}, "status=RUNNING": nil, "status=CANCELLED": nil,
		"task=t.echo": {later, two, one}, "task=*cho": {later, two, one}, "task=t.*s*d": {three}, "queue_name=emails": {one}, "backend_name=default": {later, three, two, one},
		"priority=7": {three}, "error=NEVER": {three}, "id=" + one: {one}, "id=" + one + "," + two: {two, one}, "id=" + strings.ToUpper(three[:23]) + "," + one[:22]: {three, one},
		"group_id=" + group: {two}, "since=1h": {later, three, two, one}, "until=2020-01-01": nil, "since=2020-01-01T00:00:00Z&until=1h": nil,
		"args.user.id=4711": {two, one}, "args.user.id=%224711%22": {two}, "args.user.id=471": nil, "args.ok=true": {three}, "args.user.id=4711&args.name=Ann": {one},
		"text=ann": {one}, "text=never": {three}, "status=FAILED&text=4711": nil, "status=READY&args.name=Ann": {one}, "args.FIELD=1": nil,
	} {
		for _, path := range []string{"/tasks/?", "/tasks?"} {
			if got := a.listed(a.do("GET", path+query, "")); !slices.Equal(got, want) {
				t.Errorf("%s%s: %q, want %q", path, query, got, want)
			}
		}
	}
	got := a.do("GET", "/tasks/?id="+two+","+three, "").body["results"].([]any)
	if failed, done := got[0].(map[string]any), got[1].(map[string]any); len(failed["errors"].([]any)) != 1 || fmt.Sprint(done["return_value"]) != "map[user:map[id:4711]]" {
		t.Errorf("results: %v", got)
	}
	if got := a.do("GET", "/tasks/", ""); strings.Contains(got.text, `"next"`) || strings.Contains(got.text, "partial") {
		t.Errorf("the whole list: %s", got.text)
	}
}

func TestListsArePagedByCursor(t *testing.T) {
	a := newAPI(t, nil)
	var all []string
	for i := range 23 {
		body := fmt.Sprintf(`{"task":"t.echo","args":{"n":%d}}`, i)
		if i%2 == 1 {
			body = fmt.Sprintf(`{"task":"t.echo","args":{"n":%d},"run_after":"29%02d-01-01T00:00:00Z"}`, i, i+10)
		}
		all = append(all, a.enqueue(body))
	}
	for _, query := range []string{"", "status=READY", "text=n", "status=READY&task=t.*"} {
		for _, limit := range []int{1, 4, 23, 1000} {
			var got []string
			for path := fmt.Sprintf("/tasks/?limit=%d&%s", limit, query); path != ""; {
				page := a.do("GET", path, "")
				got = append(got, a.listed(page)...)
				next, _ := page.body["next"].(string)
				if next != url.QueryEscape(next) {
					t.Fatalf("next %q needs escaping", next)
				}
				if path = ""; next != "" {
					path = fmt.Sprintf("/tasks/?limit=%d&%s&cursor=%s", limit, query, next)
				}
			}
			if want := slices.Clone(all); len(got) != len(want) || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
				t.Errorf("%q by %d: %d of %d tasks", query, limit, len(got), len(want))
			}
		}
	}
}

func TestListRefusesWhatItDoesNotUnderstand(t *testing.T) {
	a := newAPI(t, nil)
	other := a.do("GET", "/tasks/?limit=1&status=READY&cursor=x", "")
	if other.status != http.StatusBadRequest {
		t.Errorf("%d %s", other.status, other.text)
	}
	for query, want := range map[string]string{
		"state=FAILED": `unknown query parameter \"state\"; accepted: args.FIELD, backend_name, cursor`, "args.=1": "unknown query parameter", "args=1": "unknown query parameter",
		"status=DONE": "status must be READY, RUNNING", "status=": "status must not be empty", "task=": "task must not be empty", "limit=0": "limit must be a whole number from 1 to 1000", "limit=1001": "limit must be", "limit=x": "limit must be",
		"priority=101": "priority must be a whole number from -100 to 100", "id=zz": "id must be IDs of tasks", "id=" + strings.Repeat("0,", 101): "id", "since=yesterday": "since must be a time such as", "until=x": "until must be a time",
		"cursor=x": "cursor must be the next of an earlier page", "backend_name=none": "Invalid backend name", "group_id=1": "group_id must be the ID of a group", "text=": "text must not be empty", "text=" + strings.Repeat("x", 1001): "at most 1000 bytes",
		"task=a&task=b": "given twice", "error=%ff": "UTF-8", "args.a=%00": "UTF-8",
	} {
		if got := a.do("GET", "/tasks/?"+query, ""); got.status != http.StatusBadRequest || !strings.Contains(got.text, want) {
			t.Errorf("%s: %d %s, want %s", query, got.status, got.text, want)
		}
	}
	for method, want := range map[string]int{"POST": http.StatusMethodNotAllowed, "DELETE": http.StatusMethodNotAllowed} {
		if got := a.do(method, "/tasks/", ""); got.status != want || got.header.Get("Allow") != "GET" {
			t.Errorf("%s: %d, Allow %q", method, got.status, got.header.Get("Allow"))
		}
	}
}

func TestListDoesNotFindHiddenContents(t *testing.T) {
	a := newAPI(t, func(cfg *httpapi.Config, _ *queue.Config) {
		cfg.Redact = func(task string) bool { return task == "t.typed" }
	})
	hidden := a.enqueue(`{"task":"t.typed","args":{"N":4711}}`)
	open := a.enqueue(`{"task":"t.echo","args":{"N":4711}}`)
	for _, query := range []string{"args.N=4711", "text=4711", "args.N=4711&task=t.typed"} {
		got := a.do("GET", "/tasks/?"+query, "")
		if ids := a.listed(got); slices.Contains(ids, hidden) || !strings.Contains(query, "typed") && !slices.Equal(ids, []string{open}) {
			t.Errorf("%s: %q", query, ids)
		}
		if got.body["not_searched"] != "tasks whose arguments are hidden" {
			t.Errorf("%s: it does not say so: %s", query, got.text)
		}
	}
	if got := a.do("GET", "/tasks/", ""); len(a.listed(got)) != 2 || got.body["not_searched"] != nil {
		t.Errorf("without such a filter: %s", got.text)
	}
}

// What is hidden by one name of a task is not found under another.
func TestListDoesNotFindHiddenContentsUnderAnotherName(t *testing.T) {
	for _, hidden := range []string{"new.pay", "old.pay", "older.pay"} {
		a := newAPI(t, func(cfg *httpapi.Config, q *queue.Config) {
			cfg.Redact = func(task string) bool { return task == hidden }
			q.Registry = queue.NewRegistry(queue.Declare[any, any]("new.pay", queue.Alias("old.pay", "older.pay")), queue.Declare[any, any]("dead.letter"))
		})
		for _, name := range []string{"new.pay", "old.pay", "older.pay"} {
			a.enqueue(`{"task":"` + name + `","args":{"card":"5555"}}`)
			a.enqueue(`{"task":"dead.letter","args":{"task_path":"` + name + `","args":{"card":"5555"}}}`)
		}
		open := a.enqueue(`{"task":"dead.letter","args":{"task_path":"other","args":{"card":"5555"}}}`)
		for _, query := range []string{"text=5555", "args.args.card=5555"} {
			if ids := a.listed(a.do("GET", "/tasks/?"+query, "")); !slices.Equal(ids, []string{open}) {
				t.Errorf("hidden: %s; %s: %q", hidden, query, ids)
			}
		}
		if ids := a.listed(a.do("GET", "/tasks/?args.card=5555", "")); len(ids) > 0 {
			t.Errorf("hidden: %s: %q", hidden, ids)
		}
	}
}

// A page with large values is short, and none is lost.
func TestListsOfLargeValuesAreShort(t *testing.T) {
	a := newAPI(t, nil)
	var want []string
	for range 12 {
		id := a.enqueue(`{"task":"t.echo","args":"` + strings.Repeat("x", 900<<10) + `"}`)
		a.do("POST", "/tasks/execute/"+id+"/", "")
		want = append([]string{id}, want...)
	}
	var got []string
	pages := 0
	for path := "/tasks/?status=SUCCESSFUL"; path != ""; pages++ {
		page := a.do("GET", path, "")
		got = append(got, a.listed(page)...)
		for _, result := range page.body["results"].([]any) {
			if value := result.(map[string]any)["return_value"]; len(value.(string)) != 900<<10 {
				t.Fatalf("a return value has %d bytes", len(value.(string)))
			}
		}
		next, _ := page.body["next"].(string)
		if path = ""; next != "" {
			path = "/tasks/?status=SUCCESSFUL&cursor=" + next
		}
	}
	if !slices.Equal(got, want) || pages < 2 {
		t.Errorf("%d tasks on %d pages", len(got), pages)
	}
}
