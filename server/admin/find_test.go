package admin_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/aead"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

func texts(ids ...uuid.UUID) (list []string) {
	for _, id := range ids {
		list = append(list, id.String())
	}
	return list
}

// One field takes an ID, its beginning, a value in the arguments, or a text.
func TestTheFieldFindLeadsToAList(t *testing.T) {
	s := newSite(t, nil)
	for find, want := range map[string]string{
		"user_id = 4711": "args.user_id=4711", "args.user.id=4711": "args.user.id=4711", ` user.id = "47 11" `: `args.user.id="47 11"`, "a=b=c": "args.a=b=c",
		"no route to host": "text=no route to host", "4711": "text=4711", "20260131": "text=20260131", "user_id =": "text=user_id =", `{"a"=1}`: `text={"a"=1}`, "Müller": "text=Müller",
		"01a228f0": "id=01a228f0", "01A228F0-59be": "id=01A228F0-59be", "01a228f0-59be-7f37-90cb-549ebd1422b1": "id=01a228f0-59be-7f37-90cb-549ebd1422b1", "cafe": "text=cafe", "": "",
	} {
		w := s.get("/admin/tasks?" + url.Values{"find": {find}, "view": {"failed"}, "after": {"x"}, "task": {""}}.Encode())
		location, err := url.Parse(w.Header().Get("Location"))
		if err != nil || w.Code != 303 || location.Path != "/admin/tasks" {
			t.Fatalf("%q: %d, %q, %v", find, w.Code, w.Header().Get("Location"), err)
		}
		query := location.Query()
		query.Del("view")
		if got, _ := url.QueryUnescape(query.Encode()); got != want || location.Query().Get("view") != "failed" {
			t.Errorf("%q leads to %q, want %q", find, got, want)
		}
	}
}

// What a list refuses, it refuses also behind the field: the search would be one of all tasks.
func TestTheFieldFindKeepsUnknownFilters(t *testing.T) {
	s := newSite(t, nil)
	s.enqueue("search.reindex", `{"user_id":4711}`)
	w := s.follow(s.get("/admin/tasks?find=user_id+%3D+4711&status=FAILED&authuser=1&pick=x"))
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "There is no filter &#34;status&#34;") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if to := s.get("/admin/tasks?find=user_id+%3D+4711&authuser=1&pick=x").Header().Get("Location"); to != "/admin/tasks?args.user_id=4711" {
		t.Errorf("leads to %s", to)
	}
}

// What became of a user: a handful of tasks of several names, some of which failed.
func TestWhatBecameOfAUser(t *testing.T) {
	s := newNight(t, nil)
	rows, names, failed := 0, map[string]int{}, 0
	page, err := s.client.List(t.Context(), queue.ListRequest{Selection: queue.Selection{Args: []queue.ArgFilter{{Path: "user_id", Value: "4711"}}}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range page.Rows {
		rows++
		names[row.Task]++
		if row.Status == queue.StatusFailed {
			failed++
		}
	}
	if rows < 5 || rows > 40 || len(names) < 3 || failed == 0 || failed == rows {
		t.Errorf("%d tasks, of %d FAILED, by name %v", rows, failed, names)
	}
	if got := len(listed(s.get("/admin/tasks?args.user_id=4711").Body.String())); got != rows {
		t.Errorf("the page lists %d, of %d", got, rows)
	}
}

func TestListsAreSearched(t *testing.T) {
	s := newSite(t, nil)
	one := s.enqueue("search.reindex", `{"user":{"id":4711},"name":"<b>Ann</b>"}`)
	two := s.enqueue("emails.send_welcome", `{"user":{"id":"4711"},"text":"`+strings.Repeat("ü", 3000)+`"}`)
	s.enqueue("search.reindex", `{"user":{"id":4712}}`)
	group := s.group("import", "search.reindex", 2)
	for query, want := range map[string][]string{
		"args.user.id=4711": texts(two, one), "args.user.id=4711&args.name=%3Cb%3EAnn%3C/b%3E": texts(one), "text=ANN": texts(one), "text=ann&task=emails.*": nil,
		"id=" + one.String()[:20] + "," + two.String(): texts(two, one), "task=*.re*": s.tasksOf("search.reindex"), "args.user.id=": nil, "group=" + uuid.NewString(): nil,
		"view=pending&args.user.id=4711": texts(two, one), // by priority
	} {
		w := s.get("/admin/tasks?" + query)
		if got := listed(w.Body.String()); w.Code != 200 || !slices.Equal(got, want) {
			t.Errorf("%s: %d\n got %v\nwant %v", query, w.Code, got, want)
		}
	}
	if got := listed(s.get("/admin/tasks?group=" + group.String()).Body.String()); len(got) != 2 {
		t.Errorf("the group: %v", got)
	}
	body := s.get("/admin/tasks?view=pending&args.user.id=4711&text=user&task=*").Body.String()
	for _, want := range []string{
		"user.id = 4711 <a ", "with the text “user” <a ", `href="/admin/tasks?args.user.id=4711&amp;task=%2A&amp;view=pending" aria-label="Remove filter: with the text`,
		`<code class="sub" translate="no">{&#34;user&#34;:<wbr>{&#34;id&#34;:<wbr>4711},<wbr>&#34;name&#34;:<wbr>&#34;&lt;b&gt;Ann`, `<input type="hidden" name="args.user.id" value="4711">`, "üü…<wbr></code>",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(body, strings.Repeat("ü", 200)) {
		t.Error("long arguments are not shortened")
	}
}

// tasksOf are the IDs of the tasks of a name, the latest first.
func (s *site) tasksOf(task string) (ids []string) {
	s.t.Helper()
	page, err := s.operator().List(s.t.Context(), queue.ListRequest{Selection: queue.Selection{Task: task}, Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, row := range page.Rows {
		ids = append(ids, row.ID.String())
	}
	return ids
}

// What all that match means, the search of the list decides, not another one.
func TestActionsOnWhatASearchFinds(t *testing.T) {
	s := newNight(t, nil)
	query := "view=failed&args.method=card"
	confirm := s.get("/admin/confirm?all=retry&" + query).Body.String()
	if got := match(firstH1, confirm); got != "Retry 371 tasks?" {
		t.Fatalf("confirmation: %q", got)
	}
	page := s.follow(s.post("/admin/act", formOf(confirm))).Body.String()
	if got := match(noticeText, page); got != "371 tasks are READY again." {
		t.Errorf("notice: %q", got)
	}
	if got := s.statuses("billing.charge_card"); got[queue.StatusFailed] != 0 {
		t.Errorf("afterwards: %v", got)
	}
	if got := s.statuses("emails.send_receipt"); got[queue.StatusFailed] == 0 {
		t.Errorf("others were changed, too: %v", got)
	}
	if log := s.get("/admin/audit").Body.String(); !strings.Contains(log, "failed tasks with method = card") {
		t.Error("the audit log does not say which tasks")
	}
}

// An action on all matching of a further page begins where that page does, and says so; in
// the other order it is one on all of them.
func TestActionsOnFurtherPagesOfASearch(t *testing.T) {
	s := newNight(t, nil)
	const query = "/admin/tasks?view=failed&args.method=card"
	for order, want := range map[string]string{"": "Retry 321 tasks?", "&order=reverse": "Retry 371 tasks?"} {
		first := s.get(query + order).Body.String()
		next := html.UnescapeString(match(regexp.MustCompile(`href="([^"]*after=[^"]*)"`), first))
		page := s.get(next).Body.String()
		form := formOf("<main" + page[strings.Index(page, `id="list"`):]) // and not that of the filter
		form.Set("all", "retry")
		confirm := s.get("/admin/confirm?" + form.Encode()).Body.String()
		if got := match(firstH1, confirm); got != want {
			t.Errorf("%q: %q", order, got)
		}
		if said := strings.Contains(confirm, "beginning with the page that was shown"); said != (order == "") {
			t.Errorf("%q: the confirmation says where it begins: %v", order, said)
		}
	}
}

// A reader cannot find out by searching what is hidden: not by lists, counts or actions.
func TestHiddenArgumentsAreNotFound(t *testing.T) {
	s := newNight(t, func(cfg *admin.Config, _ *queue.Config) {
		cfg.Redact = func(task string) bool { return task != "search.reindex" } // of the same order are others too
	})
	for _, query := range []string{"args.order=90071992547409931234", "text=90071992547409931234", "text=4999"} {
		query += "&view=failed"
		body := s.get("/admin/tasks?" + query).Body.String()
		if ids := listed(body); len(ids) > 0 || !strings.Contains(body, "Tasks whose arguments are hidden are not searched.") {
			t.Errorf("%s: %d found; said: %v", query, len(ids), strings.Contains(body, "are not searched"))
		}
		confirm := s.get("/admin/confirm?all=retry&" + query).Body.String()
		if got := match(firstH1, confirm); got != "Nothing to do" || !strings.Contains(confirm, "are not searched, and not changed.") {
			t.Errorf("%s: confirmation %q", query, got)
		}
		form, _ := url.ParseQuery("all=retry&expected=5&" + query)
		if got := match(noticeText, s.follow(s.post("/admin/act", form)).Body.String()); !strings.HasPrefix(got, "Nothing was changed") {
			t.Errorf("%s: %q", query, got)
		}
	}
	body := s.get("/admin/tasks?view=failed&task=billing.*").Body.String()
	if strings.Contains(body, "90071992547409931234") || !strings.Contains(body, "arguments hidden") {
		t.Error("the list shows hidden arguments")
	}
}

func TestListsSayWhatTheyCannotDecrypt(t *testing.T) {
	hash := aead.NewKey(aead.HashKey).Secret
	one, err := aead.New(hash, aead.NewKey("k1"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := aead.New(hash, aead.NewKey("k2"))
	if err != nil {
		t.Fatal(err)
	}
	with := newSite(t, func(_ *admin.Config, q *queue.Config) { q.Codec = one })
	id := with.enqueue("search.reindex", `{"order":4711}`)
	if got := listed(with.get("/admin/tasks?args.order=4711").Body.String()); !slices.Equal(got, texts(id)) {
		t.Errorf("with the key: %v", got)
	}
	var path string
	if err := with.db.QueryRowContext(t.Context(), `SELECT file FROM pragma_database_list`).Scan(&path); err != nil {
		t.Fatal(err)
	}
	without := openSite(t, path, func(_ *admin.Config, q *queue.Config) { q.Codec = other })
	body := without.get("/admin/tasks?args.order=4711").Body.String()
	if len(listed(body)) > 0 || !strings.Contains(body, "1 task could not be decrypted here and may match as well.") {
		t.Errorf("without the key: %v", listed(body))
	}
	if body := without.get("/admin/tasks").Body.String(); !strings.Contains(body, "arguments not decrypted") || strings.Contains(body, "claimcheck:1:") {
		t.Error("the list shows what is stored")
	}
}
