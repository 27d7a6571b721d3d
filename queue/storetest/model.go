package storetest

import (
	"errors"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// modelRow is what the model knows of a row. Times are only distinguished as far
// as a test can wait for them: here or far off.
type modelRow struct {
	Status        queue.Status
	Attempts      int
	MaxAttempts   int
	Interruptions int
	Workers       int
	Errors        int
	Hard, Soft    bool // waits for a time that is an hour off
	Key           string

	expired bool // the lease, while RUNNING
	claim   queue.Claim
}

// modelTime bounds the random runs: under the race detector some drivers are
// twenty times slower.
const modelTime = 4 * time.Second

// testModel does at random what workers, deliveries and sweepers do, and
// compares the store with the model after each step.
func testModel(f *fixture) {
	start := time.Now()
	rapid.Check(f.T, func(t *rapid.T) {
		if time.Since(start) > modelTime {
			return
		}
		m := &model{f: f, t: t, task: "model." + uuid.NewString(), rows: make(map[uuid.UUID]*modelRow)}
		steps := map[string]func(*rapid.T){
			"insert": m.insert, "claim": m.claim, "next": m.next, "promote": m.promote,
			"finish": m.finish, "retry": m.retry, "release": m.release, "unclaim": m.unclaim, "heartbeat": m.heartbeat,
			"cancel": m.cancel,
			"":       m.compare,
		}
		if f.operator != nil {
			steps["requeue"] = m.requeue
		}
		t.Repeat(steps)
	})
}

type model struct {
	f    *fixture
	t    *rapid.T
	task string // of this run alone, and its queue
	ids  []uuid.UUID
	rows map[uuid.UUID]*modelRow
	// zombies are claims that have ended or were taken away.
	zombies []queue.Claim
	// touched are the rows that the last step may have changed.
	touched []uuid.UUID
}

// A step that does not apply calls t.Skip: rapid then draws another one. No test is skipped.

func (m *model) insert(t *rapid.T) {
	if len(m.ids) == 6 {
		t.Skip("enough rows")
	}
	r := request(withTask(m.task), onQueue(m.task), maxAttempts(rapid.IntRange(1, 3).Draw(t, "max")))
	later := rapid.IntRange(0, 4).Draw(t, "later") == 0
	if later {
		r.Delay = time.Hour
	}
	if r.UniqueKey = rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(t, "key"); r.UniqueKey != "" {
		r.UniqueScope, r.OnConflict = queue.UniqueUnfinished, queue.Conflict(rapid.IntRange(0, 2).Draw(t, "on conflict"))
	}
	id, err := r.ID, m.f.store.Insert(m.f.ctx, r)
	if holder := m.holder(r.UniqueKey); holder != uuid.Nil {
		m.meets(r, holder, later, err)
		return
	}
	if m.check(err); r.ID != id || r.Existed {
		t.Fatalf("Insert returned the row %s, existed %t", r.ID, r.Existed)
	}
	m.ids = append(m.ids, r.ID)
	m.touched = m.ids[len(m.ids)-1:]
	m.rows[r.ID] = &modelRow{Status: queue.StatusReady, MaxAttempts: r.MaxAttempts, Hard: later, Key: r.UniqueKey}
}

// holder returns the row that holds a key, or uuid.Nil.
func (m *model) holder(key string) uuid.UUID {
	for id, row := range m.rows {
		if key != "" && row.Key == key && !row.Status.Final() {
			return id
		}
	}
	return uuid.Nil
}

// meets checks an insert whose key another row holds.
func (m *model) meets(r *queue.NewRow, holder uuid.UUID, later bool, err error) {
	m.touched = []uuid.UUID{holder}
	row := m.rows[holder]
	if r.OnConflict == queue.RefuseDuplicate || r.OnConflict == queue.ReplaceExisting && row.Status != queue.StatusReady {
		if !errors.Is(err, queue.ErrDuplicate) {
			m.t.Fatalf("a duplicate of a %s row: %v", row.Status, err)
		}
		return
	}
	if m.check(err); r.ID != holder || !r.Existed {
		m.t.Fatalf("Insert returned the row %s, existed %t; %s holds the key", r.ID, r.Existed, holder)
	}
	if r.OnConflict == queue.ReplaceExisting {
		row.Hard, row.Soft = later, false
	}
}

// pick draws a row, if there is one.
func (m *model) pick(t *rapid.T) (uuid.UUID, *modelRow) {
	if len(m.ids) == 0 {
		t.Skip("no rows yet")
	}
	id := rapid.SampledFrom(m.ids).Draw(t, "row")
	m.touched = []uuid.UUID{id}
	return id, m.rows[id]
}

// pickClaim draws a claim, live or not; row is nil if it is not.
func (m *model) pickClaim(t *rapid.T) (queue.Claim, *modelRow) {
	if len(m.zombies) > 0 && rapid.IntRange(0, 4).Draw(t, "zombie") == 0 {
		claim := rapid.SampledFrom(m.zombies).Draw(t, "claim")
		m.touched = []uuid.UUID{claim.ID}
		return claim, nil
	}
	var live []uuid.UUID
	for _, id := range m.ids {
		if m.rows[id].Status == queue.StatusRunning {
			live = append(live, id)
		}
	}
	if len(live) == 0 {
		t.Skip("no claims yet")
	}
	id := rapid.SampledFrom(live).Draw(t, "claim")
	m.touched = []uuid.UUID{id}
	return m.rows[id].claim, m.rows[id]
}

func (m *model) give(row *modelRow, claim queue.Claim, expired bool) {
	if row.Status == queue.StatusFailed {
		row.Interruptions = 0
	}
	m.take(row)
	row.Status, row.expired, row.claim, row.Soft = queue.StatusRunning, expired, claim, false
	row.Attempts++
	row.Workers++
	row.MaxAttempts = max(row.MaxAttempts, row.Attempts)
}

// take makes the claim of a row, if there is one, a zombie.
func (m *model) take(row *modelRow) {
	if row.Status == queue.StatusRunning {
		m.zombies = append(m.zombies, row.claim)
	}
}

func (m *model) lose(row *modelRow) {
	m.take(row)
	row.Status = queue.StatusFailed
	row.Errors++
}

// fenced reports whether a claim's end took effect, which it must exactly if
// the claim was live.
func (m *model) fenced(row *modelRow, err error) bool {
	if row == nil {
		if !errors.Is(err, queue.ErrLeaseLost) {
			m.t.Fatalf("under a lost claim: %v", err)
		}
		return false
	}
	m.check(err)
	return true
}

func (m *model) check(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) compare(t *rapid.T) {
	for _, id := range m.touched {
		want := m.rows[id]
		row, err := m.f.store.Get(m.f.ctx, id)
		m.check(err)
		got := modelRow{
			Status: row.Status, Attempts: row.Attempts, MaxAttempts: row.MaxAttempts, Interruptions: row.Interruptions,
			Workers: len(row.WorkerIDs), Errors: len(row.Errors), Hard: !row.RunAfter.IsZero(), Soft: !row.RetryAt.IsZero(), Key: row.UniqueKey,
			expired: want.expired, claim: want.claim,
		}
		if got != *want {
			t.Fatalf("row %s: got %+v, want %+v", id, got, *want)
		}
		if (row.Status == queue.StatusRunning) == row.LeaseExpiresAt.IsZero() || row.Status.Final() == row.FinishedAt.IsZero() {
			t.Fatalf("row %s is %s with lease %v, finished %v", id, row.Status, row.LeaseExpiresAt, row.FinishedAt)
		}
	}
	m.touched = nil
}
