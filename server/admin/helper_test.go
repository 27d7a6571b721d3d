package admin_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // the driver with which made-up data is written

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
	"github.com/claimcheck-go/claimcheck/server/admin"
	"github.com/claimcheck-go/claimcheck/server/admin/internal/demodata"
)

// site is the pages over a fresh database.
type site struct {
	t       testing.TB
	handler http.Handler
	cfg     admin.Config
	client  *queue.Client
	store   *countingStore
	db      *sql.DB // the same database, for what no API makes
}

// newSite makes the pages with demodata's names; change may be nil.
func newSite(t testing.TB, change func(*admin.Config, *queue.Config)) *site {
	t.Helper()
	return openSite(t, filepath.Join(t.TempDir(), "tasks.db"), change)
}

// newNight is newSite on a bad night.
func newNight(t testing.TB, change func(*admin.Config, *queue.Config)) *site {
	t.Helper()
	return nightSite(t, night, change)
}

// newestNight is newNight before any of its tasks has become late.
func newestNight(t testing.TB, change func(*admin.Config, *queue.Config)) *site {
	t.Helper()
	return nightSite(t, makeNight, change)
}

func nightSite(t testing.TB, make func() ([]byte, error), change func(*admin.Config, *queue.Config)) *site {
	t.Helper()
	data, err := make()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tasks.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return openSite(t, path, change)
}

// night is a database file of a bad night. Making it takes longer than all else,
// so that it is made once.
var night = sync.OnceValues(makeNight)

func makeNight() ([]byte, error) {
	folder, err := os.MkdirTemp("", "claimcheck-admin")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "night.db")
	store, err := sqlitestore.Open(context.Background(), sqlitestore.Config{URL: "sqlite:" + path, Migrate: true})
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", path)
	if err == nil {
		err = demodata.Fill(context.Background(), db, demodata.SQLite, time.Now(), demodata.Night{Successful: 300})
	}
	// The last to close a file puts all of it into one.
	if err := errors.Join(err, store.Close(), db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func openSite(t testing.TB, path string, change func(*admin.Config, *queue.Config)) *site {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite:" + path, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := &site{t: t, store: &countingStore{fullStore: store}, db: db}
	quiet := slog.New(slog.DiscardHandler)
	clientCfg := queue.Config{Store: s.store, Registry: demodata.Registry(), Logger: quiet}
	cfg := admin.Config{Access: admin.Open("ops"), Logger: quiet, Mode: "pull"}
	if change != nil {
		change(&cfg, &clientCfg)
	}
	if s.client, err = queue.NewClient(clientCfg); err != nil {
		t.Fatal(err)
	}
	cfg.Client = s.client
	if s.handler, err = admin.New(cfg); err != nil {
		t.Fatal(err)
	}
	admin.WaitForStats(s.handler)
	s.cfg = cfg
	return s
}

// anew is the same pages with nothing known yet.
func (s *site) anew() *site {
	s.t.Helper()
	again := *s
	var err error
	if again.handler, err = admin.New(s.cfg); err != nil {
		s.t.Fatal(err)
	}
	admin.WaitForStats(again.handler)
	return &again
}

// enqueue stores a task with arguments.
func (s *site) enqueue(task, args string, options ...queue.Option) uuid.UUID {
	s.t.Helper()
	handle, err := s.client.Enqueue(s.t.Context(), task, json.RawMessage(args), options...)
	if err != nil {
		s.t.Fatal(err)
	}
	return handle.ID
}

// get asks for a page as a browser does, and follows nothing.
func (s *site) get(path string, header ...string) *httptest.ResponseRecorder {
	return s.do(httptest.NewRequest(http.MethodGet, "http://tasks.example"+path, nil), header...)
}

// post sends a form as a browser does that shows one of the pages.
func (s *site) post(path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	r := formRequest(form)
	r.URL.Path = path
	return s.do(r, append([]string{"Sec-Fetch-Site", "same-origin"}, header...)...)
}

// formRequest asks for an action.
func formRequest(form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://tasks.example/admin/act", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func (s *site) do(r *http.Request, header ...string) *httptest.ResponseRecorder {
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// follow asks for where an answer leads, with the cookies that came with it.
func (s *site) follow(w *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	s.t.Helper()
	if w.Code != http.StatusSeeOther {
		s.t.Fatalf("status %d, want a redirect: %s", w.Code, w.Body)
	}
	var cookies []string
	for _, c := range w.Result().Cookies() {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	return s.get(w.Header().Get("Location"), "Cookie", strings.Join(cookies, "; "))
}

// row reads a task.
func (s *site) row(id uuid.UUID) *queue.Row {
	s.t.Helper()
	row, err := s.client.Get(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return row
}

// fullStore is a store with all that the pages require.
type fullStore interface {
	queue.KeyCounter
	queue.Scheduler
	queue.Store
	queue.Operator
	queue.Overviewer
	queue.Limiter
	queue.Grouper
	queue.Lifecycle
	queue.BacklogCounter
	queue.Reporter
	queue.Checkpointer
	queue.AuditReader
	queue.FigureStore
}

// operator is the client's store as the pages see it.
func (s *site) operator() queue.Operator {
	s.t.Helper()
	operator, err := s.client.Operator()
	if err != nil {
		s.t.Fatal(err)
	}
	return operator
}

// countingStore counts what is asked of a store.
type countingStore struct {
	fullStore
	mu    sync.Mutex
	calls []string
	err   error // of everything, if it is set

	afterAct   func() // called after each batch of an action; may be nil
	beforeRead map[string]func()
}

// onOverview has something done before tasks are counted, and onGates before pauses are read.
func (c *countingStore) onOverview(do func()) { c.onRead("Overview", do) }
func (c *countingStore) onGates(do func())    { c.onRead("Gates", do) }

func (c *countingStore) onRead(name string, do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beforeRead = map[string]func(){name: do}
}

func (c *countingStore) Gates(ctx context.Context) ([]queue.Gate, error) {
	if err := c.count("Gates"); err != nil {
		return nil, err
	}
	return c.fullStore.Gates(ctx)
}

func (c *countingStore) count(name string) error {
	c.mu.Lock()
	c.calls = append(c.calls, name)
	err, before := c.err, c.beforeRead[name]
	c.mu.Unlock()
	if before != nil {
		before()
	}
	return err
}

// onAct has something done after each batch of an action.
func (c *countingStore) onAct(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.afterAct = do
}

// asked returns what was asked since it was last called.
func (c *countingStore) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

func (c *countingStore) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *countingStore) Get(ctx context.Context, id uuid.UUID) (*queue.Row, error) {
	if err := c.count("Get"); err != nil {
		return nil, err
	}
	return c.fullStore.Get(ctx, id)
}

// List may be two statements, if it is narrowed to more than a view.
func (c *countingStore) List(ctx context.Context, r queue.ListRequest) (queue.ListPage, error) {
	if err := c.count("List"); err != nil {
		return queue.ListPage{}, err
	}
	s := r.Selection
	s.View, s.IDs = "", nil
	if s.Queue+s.Backend+s.Task+s.Group+s.Error != "" || s.Priority != nil || s.Stranded || !s.Since.IsZero() || !s.Until.IsZero() {
		_ = c.count("List, end of its window")
	}
	return c.fullStore.List(ctx, r)
}

func (c *countingStore) Overview(ctx context.Context, r queue.OverviewRequest) (queue.Overview, error) {
	if err := c.count("Overview"); err != nil {
		return queue.Overview{}, err
	}
	return c.fullStore.Overview(ctx, r)
}

func (c *countingStore) Figures(ctx context.Context, r queue.FiguresRequest) (queue.Figures, error) {
	if err := c.count("Figures"); err != nil {
		return queue.Figures{}, err
	}
	return c.fullStore.Figures(ctx, r)
}

func (c *countingStore) Touched(ctx context.Context) (map[string]time.Time, error) {
	if err := c.count("Marks"); err != nil {
		return nil, err
	}
	return c.fullStore.Touched(ctx)
}

func (c *countingStore) AuditLog(ctx context.Context, id uuid.UUID, before time.Time, limit int) ([]queue.AuditEntry, error) {
	if err := c.count("Notes"); err != nil {
		return nil, err
	}
	return c.fullStore.AuditLog(ctx, id, before, limit)
}

func (c *countingStore) CountMatching(ctx context.Context, a queue.Action, s queue.Selection, before time.Time, most int) (int, error) {
	if err := c.count("CountMatching"); err != nil {
		return 0, err
	}
	return c.fullStore.CountMatching(ctx, a, s, before, most)
}

func (c *countingStore) Act(ctx context.Context, a queue.Action, s queue.Selection, before time.Time, limit int) ([]*queue.Row, error) {
	rows, err := c.fullStore.Act(ctx, a, s, before, limit)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.afterAct != nil {
		c.afterAct()
	}
	return rows, err
}
