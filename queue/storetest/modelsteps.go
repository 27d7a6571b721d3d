package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// The steps of the model, beside insert.

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
		if m.holder(row.Key) != uuid.Nil {
			want = queue.ErrDuplicate
		}
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

func (m *model) unclaim(t *rapid.T) {
	claim, row := m.pickClaim(t)
	m.check(m.f.store.Unclaim(m.f.ctx, claim))
	if row != nil {
		row.Status = queue.StatusReady
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

func (m *model) cancel(t *rapid.T) {
	id, row := m.pick(t)
	_, cancelled, err := m.f.store.Cancel(m.f.ctx, id)
	m.check(err)
	if cancelled == row.Status.Final() {
		t.Fatalf("Cancel of %+v: %v", row, cancelled)
	}
	if cancelled {
		m.take(row)
		row.Status = queue.StatusCancelled
	}
}

func (m *model) requeue(t *rapid.T) {
	r := queue.RequeueRequest{
		Filter: queue.Filter{Queue: m.task}, Limit: 1000,
		MaxAttempts: rapid.IntRange(0, 3).Draw(t, "max attempts"), MarkFailed: rapid.IntRange(0, 3).Draw(t, "mark failed") == 0,
	}
	var want queue.RequeueResult
	for _, row := range m.rows {
		limit := r.MaxAttempts
		if limit == 0 {
			limit = row.MaxAttempts
		}
		switch {
		case row.Status != queue.StatusRunning || !row.expired:
		case r.MarkFailed || row.Attempts >= limit:
			want.Failed++
			m.lose(row)
		default:
			want.Ready++
			m.take(row)
			row.Status, row.MaxAttempts = queue.StatusReady, max(row.MaxAttempts, row.Attempts+1)
		}
	}
	got, err := m.f.operator.Requeue(m.f.ctx, r)
	m.check(err)
	if got != want {
		t.Fatalf("Requeue: got %+v, want %+v", got, want)
	}
	m.touched = m.ids
}
