package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/server/admin"
)

// fillAudit stores entries of the audit log.
func (s *site) fillAudit(n int) {
	s.t.Helper()
	for i := range n {
		if err := s.client.RecordAudit(s.t.Context(), "ann", "retry", uuid.Nil, fmt.Sprintf("entry %d <&>", i)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// failingReader fails at a page of the audit log, and counts what the pages had.
type failingReader struct {
	*countingStore
	queue.AuditReader
	failAt, pages, most int
}

func (r *failingReader) ReadAudit(ctx context.Context, request queue.AuditRequest) (queue.AuditPage, error) {
	if r.pages++; r.pages == r.failAt {
		return queue.AuditPage{}, errors.New("gone")
	}
	page, err := r.AuditReader.ReadAudit(ctx, request)
	r.most = max(r.most, len(page.Entries))
	return page, err
}

func newAuditSite(t *testing.T, failAt int, access admin.Access) (*site, *failingReader) {
	t.Helper()
	reader := &failingReader{failAt: failAt}
	s := newSite(t, func(a *admin.Config, c *queue.Config) {
		a.Access = access
		reader.countingStore = c.Store.(*countingStore)
		reader.AuditReader = reader.fullStore
		c.Store = reader
	})
	return s, reader
}

func TestTheAuditLogIsDownloadedAsJSONLines(t *testing.T) {
	s, reader := newAuditSite(t, 0, looker{}) // who only looks may have it
	s.fillAudit(1203)
	w := s.get("/admin/audit.jsonl")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/jsonl; charset=utf-8" || !strings.HasPrefix(w.Header().Get("Content-Disposition"), `attachment; filename="audit-20`) {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	lines, n := bufio.NewScanner(w.Body), 0
	for ; lines.Scan(); n++ {
		var entry struct{ At, Actor, Action, Target string }
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil || entry.Actor != "ann" || entry.Action != "retry" || entry.At == "" || entry.Target != fmt.Sprintf("entry %d <&>", 1202-n) {
			t.Fatalf("line %d: %s, %v", n, lines.Text(), err)
		}
	}
	if n != 1203 || reader.pages != 3 || reader.most > 500 {
		t.Errorf("%d lines, in %d pages of at most %d entries", n, reader.pages, reader.most)
	}
	for query, want := range map[string]int{"since=1h": 1203, "since=2099-01-01": 0, "until=2099-01-01": 1203, "since=&until=": 1203, "until=1h": 0} {
		if w := s.get("/admin/audit.jsonl?" + query); w.Code != 200 || strings.Count(w.Body.String(), "\n") != want {
			t.Errorf("%s: %d, %d lines", query, w.Code, strings.Count(w.Body.String(), "\n"))
		}
	}
	if w := s.get("/admin/audit.jsonl?since=soon"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "or how long ago") || !strings.Contains(w.Body.String(), `value="soon"`) {
		t.Errorf("a bad time: %d", w.Code)
	}
	for query, want := range map[string]string{"sinze=1h": "There is no parameter &#34;sinze&#34;. An export has since and until.", "since=1h&since=2h": "&#34;since&#34; is given more than once"} {
		if w := s.get("/admin/audit.jsonl?" + query); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
	if w := s.get("/admin/audit.jsonl?authuser=1&gcp-iap-mode=SESSION_REFRESH"); w.Code != 200 {
		t.Errorf("what a proxy adds: %d", w.Code)
	}
	if body := s.get("/admin/audit").Body.String(); !strings.Contains(body, `action="/admin/audit.jsonl"`) {
		t.Error("the page offers no download")
	}
}

// A download that cannot be completed must not look complete.
func TestAnExportThatFailsIsBroken(t *testing.T) {
	s, _ := newAuditSite(t, 2, admin.Open("ops"))
	s.fillAudit(600)
	server := httptest.NewServer(s.handler)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/admin/audit.jsonl", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return // nothing was sent yet
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
	}
	if lines.Err() == nil {
		t.Error("the download ends as if it were complete")
	}
	s, _ = newAuditSite(t, 1, admin.Open("ops"))
	if w := s.get("/admin/audit.jsonl"); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "gone") {
		t.Errorf("the first page: %d", w.Code)
	}
}

// Entries of one moment are on one page each, wherever the pages end.
func TestPagesOfTheAuditLogLoseNothing(t *testing.T) {
	s := newSite(t, nil)
	const entries = 173
	s.fillAudit(entries)
	if _, err := s.db.ExecContext(t.Context(), `UPDATE claimcheck_audit SET at = (SELECT min(at) FROM claimcheck_audit)`); err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]int)
	pages, older := 0, regexp.MustCompile(`href="([^"]*)" rel="next"`)
	for path := "/admin/audit"; path != "" && pages < 9; pages++ {
		body := s.get(path).Body.String()
		for _, m := range regexp.MustCompile(`entry (\d+) &lt;`).FindAllStringSubmatch(body, -1) {
			shown[m[1]]++
		}
		if strings.Contains(body, "Newest") != (pages > 0) {
			t.Errorf("page %d: the way to the newest", pages)
		}
		path = match(older, body)
	}
	if len(shown) != entries || pages != 4 {
		t.Errorf("%d entries on %d pages", len(shown), pages)
	}
	for entry, n := range shown {
		if n != 1 {
			t.Errorf("entry %s is shown %d times", entry, n)
		}
	}
	for query, want := range map[string]string{
		"actor=ann": "There is no parameter &#34;actor&#34;", "after=x": "does not belong to a page of the log", "before=1": "does not belong to a page of the log",
	} {
		if w := s.get("/admin/audit?" + query); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
	if w := s.get("/admin/audit?authuser=1"); w.Code != http.StatusOK {
		t.Errorf("what a proxy adds: %d", w.Code)
	}
}

// pagedOnly is a store with no more than what an operator needs.
type pagedOnly struct{ queue.Operator }

// A store that cannot page all of the log has pages by time.
func TestPagesOfTheAuditLogByTime(t *testing.T) {
	s := newSite(t, nil)
	s.fillAudit(60)
	s.handler = admin.OperatedBy(s.handler, pagedOnly{s.operator()})
	first := s.get("/admin/audit").Body.String()
	next := match(regexp.MustCompile(`href="([^"]*before=[^"]*)" rel="next"`), first)
	if next == "" || strings.Contains(first, "audit.jsonl") {
		t.Fatal(first)
	}
	if body := s.get(next).Body.String(); strings.Count(body, "entry ") == 0 || !strings.Contains(body, "entry 0 ") || !strings.Contains(body, "Newest") {
		t.Error(body)
	}
	if w := s.get("/admin/audit?before=x"); w.Code != http.StatusBadRequest {
		t.Errorf("status %d", w.Code)
	}
}
