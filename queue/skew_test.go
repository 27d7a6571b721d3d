package queue_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claimcheck-go/claimcheck/queue"
	"github.com/claimcheck-go/claimcheck/queue/sqlitestore"
)

// The database's clock may be behind that of the deliverer, whether or not this one says
// for when the delivery was.
func TestEarlyDeliveryIsArmedForTheDatabasesTime(t *testing.T) {
	for _, said := range []bool{false, true} {
		earlyDelivery(t, said)
	}
}

func earlyDelivery(t *testing.T, said bool) {
	synctest.Test(t, func(t *testing.T) {
		const behind = 5 * time.Second
		store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true, Now: func() time.Time { return time.Now().Add(-behind) }})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		sent := &recorder{}
		sys := newSystem(t, setup{store: store, dispatch: sent}, task(func(context.Context) (any, error) { return nil, nil }))
		at := time.Now().Add(time.Minute)
		id := sys.enqueue("t", nil, queue.RunAfter(at))
		time.Sleep(time.Minute)
		var opt queue.RunOptions
		if said {
			opt.DueAt = sent.sent()[0].DueAt
		}
		if _, err := sys.exec.RunByID(t.Context(), id, opt); !errors.Is(err, queue.ErrNotDue) {
			t.Fatal(err)
		}
		if tickets := sent.sent(); len(tickets) != 2 || !tickets[1].DueAt.Equal(at.Add(behind)) {
			t.Fatalf("%+v", tickets)
		}
		time.Sleep(behind)
		if run := sys.run(id); run.Outcome != queue.OutcomeSucceeded {
			t.Errorf("%+v", run)
		}
	})
}

// Whether a row is armed was decided when it was stored, by a clock that may not
// be the database's.
func TestADelayThatIsArmedHasATicket(t *testing.T) {
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Config{URL: "sqlite::memory:", Migrate: true, Now: func() time.Time { return time.Now().Add(time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	sent := &recorder{}
	sys := newSystem(t, setup{store: store, dispatch: sent}, task(func(context.Context) (any, error) { return nil, nil }))
	row := sys.row(sys.enqueue("t", nil, queue.Delay(queue.ArmWithin-time.Second)))
	if len(sent.sent()) != 1 || !row.DispatchDueAt.After(row.RunAfter) {
		t.Errorf("%+v, %+v", sent.sent(), row)
	}
	parked := sys.row(sys.enqueue("t", nil, queue.Delay(queue.ArmWithin+time.Second)))
	if len(sent.sent()) != 1 || parked.DispatchDueAt.After(parked.RunAfter) {
		t.Errorf("%+v, %+v", sent.sent(), parked)
	}
}
