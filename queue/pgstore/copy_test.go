package pgstore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/internal/testdb"
	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/pgstore"
)

// assorted returns n rows of every kind.
func assorted(n int) []*queue.NewRow {
	rows := make([]*queue.NewRow, n)
	for i := range rows {
		rows[i] = &queue.NewRow{FreshID: true, WillDispatch: i%2 == 0, Row: &queue.Row{
			ID: uuid.Must(uuid.NewV7()), Task: "t", Queue: "q", Backend: "b", Priority: i%7 - 3,
			Args: json.RawMessage(`{"a": "ü", "b":[1,  2]}`), MaxAttempts: 1 + i%5, Timeout: time.Duration(i%3) * 1500 * time.Microsecond,
			TraceContext: []string{"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}[i%2],
		}}
		switch i % 5 {
		case 1:
			rows[i].Delay = 90 * time.Second
		case 2:
			rows[i].Delay = 60 * 24 * time.Hour
		case 3:
			rows[i].RunAfter = time.Date(2001, 2, 3, 4, 5, 6, 7000, time.UTC)
		case 4:
			rows[i].RunAfter = time.Date(2999, 2, 3, 4, 5, 6, 7000, time.UTC)
		}
	}
	return rows
}

// A large batch stores and returns the same as a single row.
func TestALargeBatchIsLikeSingleRows(t *testing.T) {
	for name, pooler := range map[string]bool{"direct": false, "pooler": true} {
		t.Run(name, func(t *testing.T) {
			largeBatchIsLikeSingleRows(t, pgstore.Config{URL: testdb.Postgres(t), Pooler: pooler})
		})
	}
}

func largeBatchIsLikeSingleRows(t *testing.T, config pgstore.Config) {
	s := migrated(t, config)
	batch, singles := assorted(120), assorted(120)
	if err := s.Insert(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	for i, single := range singles {
		if err := s.Insert(t.Context(), single); err != nil {
			t.Fatal(err)
		}
		stored, err := s.Get(t.Context(), batch[i].ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(stored, batch[i].Row); diff != "" {
			t.Errorf("row %d: stored (-) and answered (+):\n%s", i, diff)
		}
		if batch[i].TraceContext == "" {
			testdb.Exec(t, config.URL, "DO $$ BEGIN ASSERT (SELECT trace_context IS NULL FROM claimcheck_tasks WHERE id = '"+single.ID.String()+"' AND EXISTS (SELECT FROM claimcheck_tasks WHERE id = '"+batch[i].ID.String()+"' AND trace_context IS NULL)); END $$")
		}
		if diff := cmp.Diff(apart(single.Row), apart(batch[i].Row)); diff != "" {
			t.Errorf("row %d: single (-) and in the batch (+):\n%s", i, diff)
		}
	}
	claimable := func(rows []*queue.NewRow) (n int) {
		for _, row := range rows {
			if !row.RunAfter.After(row.EnqueuedAt) {
				n++
			}
		}
		return n
	}
	claimed, err := s.ClaimNext(t.Context(), queue.ClaimNextRequest{Tasks: []string{"t"}, Limit: 1000, Worker: "w", Lease: time.Minute})
	if want := claimable(batch) + claimable(singles); err != nil || len(claimed) != want {
		t.Errorf("%d rows claimed, %v; want %d", len(claimed), err, want)
	}
}

// apart returns a row without the values that differ between two rows of the same
// request: its ID, and its times except the distances between them.
func apart(row *queue.Row) queue.Row {
	r := *row
	r.ID = uuid.Nil
	for _, at := range []*time.Time{&r.RunAfter, &r.DispatchDueAt} {
		if !at.IsZero() && at.Sub(r.EnqueuedAt).Abs() < 365*24*time.Hour {
			*at = time.Time{}.Add(at.Sub(row.EnqueuedAt))
		}
	}
	r.EnqueuedAt = time.Time{}
	return r
}

// An ID is declared new, and exists.
func TestALargeBatchWithARowThatExists(t *testing.T) {
	s := migrated(t, pgstore.Config{URL: testdb.Postgres(t)})
	batch := assorted(120)
	again := *batch[77].Row
	if err := s.Insert(t.Context(), &queue.NewRow{Row: &again}); err != nil {
		t.Fatal(err)
	}
	if err := s.Insert(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	for i, row := range batch {
		if row.Existed != (i == 77) || row.EnqueuedAt.IsZero() {
			t.Errorf("row %d: existed %t, enqueued at %s", i, row.Existed, row.EnqueuedAt)
		}
	}
}

// Row-level security forbids COPY, though not INSERT.
func TestALargeBatchUnderRowLevelSecurity(t *testing.T) {
	admin := testdb.Postgres(t)
	migrated(t, pgstore.Config{URL: admin})
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	role := "limited_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	testdb.Exec(t, admin, "CREATE ROLE "+role)
	t.Cleanup(func() { testdb.Exec(t, admin, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	testdb.Exec(t, admin, `ALTER TABLE claimcheck_tasks ENABLE ROW LEVEL SECURITY;
		CREATE POLICY everything ON claimcheck_tasks USING (true);
		GRANT USAGE ON SCHEMA `+query.Get("search_path")+" TO "+role+`;
		GRANT ALL ON claimcheck_tasks TO `+role)
	query.Set("role", role)
	u.RawQuery = query.Encode()
	s := open(t, pgstore.Config{URL: u.String(), MaxConns: 2})
	for range 2 {
		batch := assorted(120)
		if err := s.Insert(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), batch[119].ID); err != nil {
			t.Error(err)
		}
	}
}

// Some rows are longer than the driver's reads.
func TestALargeBatchWithLargeArguments(t *testing.T) {
	s := migrated(t, pgstore.Config{URL: testdb.Postgres(t)})
	batch := assorted(120)
	for i, row := range batch {
		row.Args = json.RawMessage(`"` + strings.Repeat("ä", i*i*6) + `"`)
	}
	if err := s.Insert(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	for i, row := range batch {
		if stored, err := s.Get(t.Context(), row.ID); err != nil || !bytes.Equal(stored.Args, row.Args) {
			t.Errorf("row %d: %v, %d bytes of arguments; want %d", i, err, len(stored.Args), len(row.Args))
		}
	}
}

// A row that the table cannot hold is an error, and no row is stored.
func TestALargeBatchWithARowThatDoesNotFit(t *testing.T) {
	s := migrated(t, pgstore.Config{URL: testdb.Postgres(t)})
	for name, spoil := range map[string]func(*queue.NewRow){
		"a priority beyond 16 bits":  func(row *queue.NewRow) { row.Priority = math.MaxInt16 + 1 },
		"a priority below 16 bits":   func(row *queue.NewRow) { row.Priority = math.MinInt16 - 1 },
		"more attempts than 32 bits": func(row *queue.NewRow) { row.MaxAttempts = math.MaxInt },
		"no ID":                      func(row *queue.NewRow) { row.ID = uuid.Nil },
		"no arguments":               func(row *queue.NewRow) { row.Args = nil },
		"arguments that are no JSON": func(row *queue.NewRow) { row.Args = json.RawMessage(`{`) },
		"a name that is no UTF-8":    func(row *queue.NewRow) { row.Task = "\xff" },
	} {
		batch := assorted(120)
		spoil(batch[111])
		before := *batch[0].Row
		if err := s.Insert(t.Context(), batch...); err == nil {
			t.Errorf("%s was stored", name)
		}
		if diff := cmp.Diff(before, *batch[0].Row); diff != "" {
			t.Errorf("%s: before (-) and after (+):\n%s", name, diff)
		}
		if _, err := s.Get(t.Context(), batch[0].ID); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%s: a row of the batch: %v", name, err)
		}
	}
}

func TestACopyIsTheSameHoweverItIsRead(t *testing.T) {
	rows, now := assorted(20), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	whole, err := io.ReadAll(pgstore.NewCopyStream(now, rows))
	if err != nil || len(whole) < 20*100 {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	for _, n := range []int{1, 19, 20, 300, len(whole) - 1, len(whole), len(whole) + 1} {
		var read bytes.Buffer
		stream := struct{ io.Reader }{pgstore.NewCopyStream(now, rows)} // it might have a WriteTo
		if _, err := io.CopyBuffer(struct{ io.Writer }{&read}, stream, make([]byte, n)); err != nil || !bytes.Equal(read.Bytes(), whole) {
			t.Errorf("%d bytes at a time: %d bytes, %v; want %d", n, read.Len(), err, len(whole))
		}
	}
	if err := iotest.TestReader(pgstore.NewCopyStream(now, rows), whole); err != nil {
		t.Error(err)
	}
}

// A driver that has lost the connection may still read when Insert has returned,
// and the rows are the caller's again.
func TestACopyThatHasBeenStoppedReadsNoRows(t *testing.T) {
	stream := pgstore.NewCopyStream(time.Now(), assorted(20))
	if _, err := stream.Read(make([]byte, 300)); err != nil {
		t.Fatal(err)
	}
	stream.Stop()
	if n, err := stream.Read(make([]byte, 300)); n != 0 || err == nil || err == io.EOF { //nolint:errorlint // as the driver compares it
		t.Errorf("%d bytes, %v", n, err)
	}
}
