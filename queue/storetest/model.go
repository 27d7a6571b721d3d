package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// modelRow is what the model knows of a row. Times are only told apart as far
// as a test can wait for them: here or far off.
type modelRow struct {
	Status        queue.Status
	Attempts      int
	MaxAttempts   int
	Interruptions int
	Workers       int
	Errors        int
	Hard, Soft    bool // waits for a time that is an hour off

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
		t.Repeat(map[string]func(*rapid.T){
			"insert": m.insert, "claim": m.claim, "next": m.next, "promote": m.promote,
			"finish": m.finish, "retry": m.retry, "release": m.release, "heartbeat": m.heartbeat,
			"": m.compare,
		})
	})
}

type model struct {
	f    *fixture
	t    *rapid.T
	task string // of this run alone
	ids  []uuid.UUID
	rows map[uuid.UUID]*modelRow
	// zombies are claims that have ended or were taken away.
	zombies []queue.Claim
	// touched are the rows that the last step may have changed.
	touched []uuid.UUID
}

func (m *model) insert(t *rapid.T) {
	if len(m.ids) == 6 {
		t.Skip("enough rows")
	}
	r := request(withTask(m.task), maxAttempts(rapid.IntRange(1, 3).Draw(t, "max")))
	later := rapid.IntRange(0, 4).Draw(t, "later") == 0
	if later {
		r.Delay = time.Hour
	}
	m.check(m.f.store.Insert(m.f.ctx, r))
	m.ids = append(m.ids, r.ID)
	m.touched = m.ids[len(m.ids)-1:]
	m.rows[r.ID] = &modelRow{Status: queue.StatusReady, MaxAttempts: r.MaxAttempts, Hard: later}
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

func (m *model) claim(t *rapid.T) {
	id, row := m.pick(t)
	req := claimRequest(lease, knowing(m.task))
	req.AllowRetry = rapid.Bool().Draw(t, "allow retry")
	lapsed := rapid.Bool().Draw(t, "lapsed")
	if lapsed {
		req.Lease = expired
	}
	var want error
	switch {
	case row.Status == queue.StatusFailed && req.AllowRetry:
	case row.Status.Final():
		want = queue.ErrFinal
	case row.Status == queue.StatusRunning && !row.expired:
		want = queue.ErrLeased
	case row.Status == queue.StatusReady && row.Hard:
		want = queue.ErrNotDue
	case row.Attempts >= row.MaxAttempts:
		want = queue.ErrWorkerLost
	}
	_, err := m.f.store.Claim(m.f.ctx, id, req)
	if !errors.Is(err, want) {
		t.Fatalf("Claim: got %v, want %v", err, want)
	}
	switch want {
	case nil:
		m.give(row, queue.Claim{ID: id, ClaimID: req.ClaimID}, lapsed)
	case queue.ErrWorkerLost:
		m.lose(row)
	}
}

func (m *model) next(t *rapid.T) {
	limit := rapid.IntRange(1, 3).Draw(t, "limit")
	var want []uuid.UUID
	for _, id := range m.ids { // one priority: in the order of insertion
		row := m.rows[id]
		if row.Status == queue.StatusReady && !row.Hard && !row.Soft && row.Attempts < row.MaxAttempts && len(want) < limit {
			want = append(want, id)
		}
	}
	got := m.f.claimNext(limit, func(r *queue.ClaimNextRequest) { r.Tasks = []string{m.task} })
	if fmt.Sprint(ids(got)) != fmt.Sprint(want) {
		t.Fatalf("ClaimNext: got %v, want %v", ids(got), want)
	}
	for _, row := range got {
		m.give(m.rows[row.ID], row.Claim(), false)
	}
	m.touched = m.ids
}

func (m *model) promote(*rapid.T) {
	_, err := m.f.store.Promote(m.f.ctx, 1000)
	m.check(err)
	m.touched = m.ids
	for _, row := range m.rows {
		switch {
		case row.Status != queue.StatusRunning || !row.expired:
		case row.Attempts < row.MaxAttempts:
			m.take(row)
			row.Status = queue.StatusReady
		default:
			m.lose(row)
		}
	}
}

func (m *model) finish(t *rapid.T) {
	claim, row := m.pickClaim(t)
	f := queue.Finish{Status: queue.StatusSuccessful}
	if rapid.Bool().Draw(t, "fails") && row != nil {
		f = queue.Finish{Status: queue.StatusFailed, Errors: failures(row.Errors + 1)}
	}
	_, err := m.f.store.Finish(m.f.ctx, claim, f)
	if m.fenced(row, err) {
		row.Status = f.Status
		row.Errors += min(len(f.Errors), 1)
	}
}

func (m *model) retry(t *rapid.T) {
	claim, row := m.pickClaim(t)
	var r queue.Retry
	if row != nil {
		r.Errors = failures(row.Errors + 1)
	}
	kind := rapid.SampledFrom([]string{"now", "soft", "hard", "refund"}).Draw(t, "kind")
	switch kind {
	case "soft":
		r.In = time.Hour
	case "hard":
		r.RunIn = time.Hour
	case "refund":
		r.Refund = true
	}
	if m.fenced(row, m.f.store.Retry(m.f.ctx, claim, r)) {
		row.Status, row.Soft, row.Hard = queue.StatusReady, kind == "soft", row.Hard || kind == "hard"
		row.Errors++
		if r.Refund {
			row.Attempts--
			row.Workers--
		}
	}
}

func (m *model) release(t *rapid.T) {
	claim, row := m.pickClaim(t)
	if m.fenced(row, m.f.store.Release(m.f.ctx, claim)) {
		row.Status = queue.StatusReady
		row.Interruptions++
		row.Attempts--
		row.Workers--
	}
}

func (m *model) heartbeat(t *rapid.T) {
	claim, row := m.pickClaim(t)
	length, lapsed := lease, rapid.Bool().Draw(t, "lapsed")
	if lapsed {
		length = expired
	}
	renewed, lost, err := m.f.store.Heartbeat(m.f.ctx, length, claim)
	m.check(err)
	if (len(lost) == 0) != (row != nil) || (len(renewed) == 1) != (row != nil) {
		t.Fatalf("Heartbeat: renewed %v, lost %v of %+v", renewed, lost, row)
	}
	if row != nil {
		row.expired = lapsed
	}
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
			Workers: len(row.WorkerIDs), Errors: len(row.Errors), Hard: !row.RunAfter.IsZero(), Soft: !row.RetryAt.IsZero(),
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
