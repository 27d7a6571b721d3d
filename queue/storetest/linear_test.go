package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// Each of these stores breaks one rule, now and then or always. The check of
// histories must find every one of them out.

type fullStore interface {
	queue.Store
	queue.Operator
}

// unfenced finishes whatever claim there is.
type unfenced struct{ fullStore }

func (s unfenced) Finish(ctx context.Context, claim queue.Claim, f queue.Finish) (time.Time, error) {
	at, err := s.fullStore.Finish(ctx, claim, f)
	if errors.Is(err, queue.ErrLeaseLost) {
		if row, err := s.Get(ctx, claim.ID); err == nil && row.Status == queue.StatusRunning {
			return s.fullStore.Finish(ctx, row.Claim(), f)
		}
	}
	return at, err
}

// thief takes rows from live leases.
type thief struct{ fullStore }

func (s thief) Claim(ctx context.Context, id uuid.UUID, req queue.ClaimRequest) (*queue.Row, error) {
	row, err := s.fullStore.Claim(ctx, id, req)
	var refused *queue.NotClaimedError
	if errors.As(err, &refused) && refused.Reason == queue.ErrLeased {
		if _, _, err := s.Heartbeat(ctx, -time.Hour, refused.Row.Claim()); err == nil {
			return s.fullStore.Claim(ctx, id, req)
		}
	}
	return row, err
}

// optimist believes that every heartbeat came in time.
type optimist struct{ fullStore }

func (s optimist) Heartbeat(ctx context.Context, lease time.Duration, claims ...queue.Claim) (renewed, lost []queue.Claim, err error) {
	_, _, err = s.fullStore.Heartbeat(ctx, lease, claims...)
	return claims, nil, err
}

// stale shows rows as they were when it was asked first.
type stale struct {
	fullStore
	seen *sync.Map
}

func (s stale) Get(ctx context.Context, id uuid.UUID) (*queue.Row, error) {
	row, err := s.fullStore.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	first, _ := s.seen.LoadOrStore(id, row)
	return first.(*queue.Row), nil
}

// forgetful says that it has cancelled, and does not.
type forgetful struct{ fullStore }

func (s forgetful) Cancel(ctx context.Context, id uuid.UUID) (*queue.Row, bool, error) {
	row, err := s.Get(ctx, id)
	if err == nil && !row.Status.Final() {
		row.Status, row.ClaimID = queue.StatusCancelled, uuid.Nil
		return row, true, nil
	}
	return row, false, err
}

func TestBrokenStoresAreDetected(t *testing.T) {
	for name, breaks := range map[string]func(fullStore) queue.Store{
		"finishes without the fence": func(s fullStore) queue.Store { return unfenced{s} },
		"claims from a live lease":   func(s fullStore) queue.Store { return thief{s} },
		"renews what is lost":        func(s fullStore) queue.Store { return optimist{s} },
		"reads what was":             func(s fullStore) queue.Store { return stale{s, new(sync.Map)} },
		"cancels nothing":            func(s fullStore) queue.Store { return forgetful{s} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sound, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sound.Close() }()
			for range 50 {
				_, err := checkLinear(t.Context(), rand.Uint64(), breaks(sound))
				if err == nil {
					continue // this time the calls did not meet
				}
				if !strings.Contains(err.Error(), "no sequence explains") {
					t.Fatal(err)
				}
				return
			}
			t.Error("50 histories of it were found linearizable")
		})
	}
}
