package admin_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/google/uuid"
)

// counted is a body of any length that counts what is read of it.
type counted struct {
	left int64
	read int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), c.left))
	for i := range p[:n] {
		p[i] = 'a'
	}
	c.left, c.read = c.left-int64(n), c.read+int64(n)
	return n, nil
}

// Of what strangers send nothing is read, but for a login as much as one takes.
func TestStrangersAreIdentifiedBeforeTheyAreRead(t *testing.T) {
	for name, access := range map[string]admin.Access{
		"closed":      admin.Closed("set ADMIN_TOKEN"),
		"logged out":  admin.Tokens("right-token-of-admins", ""),
		"no login":    admin.FirstOf(admin.Closed("no proxy"), admin.Closed("set ADMIN_TOKEN")),
		"either way":  admin.FirstOf(admin.Closed("no proxy"), admin.Tokens("right-token-of-admins", "")),
		"read only":   looker{},
		"may do that": admin.Open("ops"),
	} {
		s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Access = access })
		for _, path := range []string{"/admin/act", "/admin/enqueue", "/admin/login", "/admin/logout", "/admin/unknown", "/admin/", "/admin"} {
			for _, method := range []string{"POST", "GET", "PUT", "DELETE"} {
				for _, contentType := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"} {
					for _, length := range []int64{1 << 20, -1} {
						body := &counted{left: 1 << 20}
						r := httptest.NewRequest(method, "http://admin.example"+path, body)
						r.ContentLength = length
						r.Header.Set("Content-Type", contentType)
						w := httptest.NewRecorder()
						s.handler.ServeHTTP(w, r)
						limit := int64(0)
						if path == "/admin/login" && method == "POST" {
							limit = 4<<10 + 512
						}
						known := name == "read only" || name == "may do that"
						if body.read > limit && (!known || method == "GET") {
							t.Errorf("%s, %s %s as %s of length %d: %d bytes were read, answer %d", name, method, path, contentType, length, body.read, w.Code)
						}
					}
				}
			}
		}
	}
}

func TestLoginFormsAreSmall(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Access = admin.Tokens("right-token-of-admins", "") })
	for name, c := range map[string]struct {
		body, contentType string
		status            int
	}{
		"right":        {"token=right-token-of-admins", "application/x-www-form-urlencoded; charset=utf-8", 303},
		"wrong":        {"token=wrong", "application/x-www-form-urlencoded", 401},
		"large":        {"token=" + strings.Repeat("x", 4096), "application/x-www-form-urlencoded", 413},
		"multipart":    {"--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nright-token-of-admins\r\n--x--", "multipart/form-data; boundary=x", 415},
		"no type":      {"token=right-token-of-admins", "", 415},
		"no form":      {"token=%zz", "application/x-www-form-urlencoded", 400},
		"in the query": {"", "application/x-www-form-urlencoded", 401},
	} {
		r := httptest.NewRequest("POST", "http://admin.example/admin/login?token=right-token-of-admins", strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.contentType)
		w := httptest.NewRecorder()
		if s.handler.ServeHTTP(w, r); w.Code != c.status {
			t.Errorf("%s: %d, want %d\n%s", name, w.Code, c.status, w.Body)
		}
	}
	// The longest address that the form carries leaves room for a token.
	long := "/admin/tasks?error=" + strings.Repeat("%C3%A4", 160)
	page := s.get(long).Body.String()
	if !strings.Contains(page, `name="back" value="/admin/tasks?error=`) {
		t.Errorf("the address asked for is not kept:\n%s", page)
	}
	w := s.post("/admin/login", url.Values{"token": {"right-token-of-admins"}, "back": {long}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != long {
		t.Errorf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	if page := s.get("/admin/tasks?error=" + strings.Repeat("a", 2000)).Body.String(); !strings.Contains(page, `name="back" value="/admin/"`) {
		t.Errorf("an address that does not fit:\n%.2000s", page)
	}
}

// A form that was sent without a session leads back to its page.
func TestLoginLeadsBackToTheFormsPage(t *testing.T) {
	s := newSite(t, func(c *admin.Config, _ *queue.Config) { c.Access = admin.Tokens("right-token-of-admins", "") })
	for referer, want := range map[string]string{
		"http://example.com/admin/types/demo?x=1": "/admin/types/demo?x=1",
		"http://evil.example/admin/types/":        "/admin/",
		"http://example.com/elsewhere":            "/admin/",
		"":                                        "/admin/",
	} {
		r := httptest.NewRequest("POST", "http://example.com/admin/act", strings.NewReader("back=/admin/queues"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Referer", referer)
		w := httptest.NewRecorder()
		if s.handler.ServeHTTP(w, r); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), fmt.Sprintf(`name="back" value="%s"`, want)) {
			t.Errorf("%q: %d\n%s", referer, w.Code, w.Body)
		}
	}
}

func TestCompressedFormsAreRefused(t *testing.T) {
	s := newSite(t, nil)
	if w := s.post("/admin/act", url.Values{"do": {"run"}}, "Content-Encoding", "gzip"); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("%d", w.Code)
	}
}

// A name that nothing here registers is found behind many stranded tasks that can run, more
// than are read to find the reason, and behind those of another such name.
func TestAnUnknownNameIsFoundBehindManyStrandedTasks(t *testing.T) {
	s := newSite(t, nil)
	s.enqueue("search.reindex", `{}`)
	columns := s.columns()
	for i, name := range columns {
		switch name {
		case "id":
			columns[i] = "printf('%08x-0000-7000-8000-%012x', i, i)"
		case "enqueued_at":
			columns[i] = "enqueued_at + i"
		case "task_path":
			columns[i] = fmt.Sprintf("CASE WHEN i > %d THEN 'shop.gone' WHEN i < 3 THEN 'shop.first' ELSE task_path END", queue.ListWindow+500)
		}
	}
	for _, statement := range []string{
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			INSERT INTO claimcheck_tasks SELECT %s FROM claimcheck_tasks, n`, queue.ListWindow+503, strings.Join(columns, ", ")),
		`UPDATE claimcheck_tasks SET dispatch_due_at = 1`,
	} {
		if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for range 6 { // the search goes on with each refresh
		for range 4 {
			s.get("/admin/")
		}
		if strings.Contains(s.get("/admin/").Body.String(), "shop.gone") {
			break
		}
		s.post("/admin/act", url.Values{"do": {"cancel"}, "pick": {uuid.NewString()}}) // what is known is read anew
	}
	if body := s.get("/admin/").Body.String(); !strings.Contains(body, "shop.gone") || !strings.Contains(body, "At least 3 tasks wait") || !strings.Contains(body, "shop.first") {
		t.Errorf("%s", plain(body))
	}
}
