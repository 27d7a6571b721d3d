// Package storetest is the suite that every [queue.Store] passes: one file of tests
// for each concern. A new store is complete when they pass. Sections about an
// optional interface, such as [queue.Operator], run if the store implements it.
//
// No test sleeps to let time pass: an expired lease is one that was requested to end
// in the past.
package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

// Harness makes the stores under test. What it opens it also closes, by
// t.Cleanup. Open and Begin are required, and no function may return nil.
type Harness struct {
	// Open returns an empty store with its tables. Required.
	Open func(t *testing.T) queue.Store
	// OpenUnmigrated returns a store whose tables do not exist; nil for a store
	// that has none to create.
	OpenUnmigrated func(t *testing.T) queue.Store
	// Begin begins a transaction of a caller's in the store's database. Required.
	Begin func(t *testing.T, store queue.Store) queue.Tx
	// OneWriter reports that a transaction of a caller's locks the whole database,
	// and not only the rows that it has changed.
	OneWriter bool
	// Second returns another store on the database of one that Open returned, as
	// another process has it; nil where a database has only one store.
	Second func(t *testing.T, store queue.Store) queue.Store
	// SetDeleteAt sets the DeleteAt of a row, whatever its state, or removes it (the zero
	// time): no test waits until a row's Keep is over. Required if the store is a queue.Lifecycle.
	SetDeleteAt func(t *testing.T, store queue.Store, id uuid.UUID, at time.Time)
	// SetFinishedAt sets when a row that has ended did: stores count figures some seconds
	// later. Required if the store is a queue.FigureStore.
	SetFinishedAt func(t *testing.T, store queue.Store, id uuid.UUID, at time.Time)
}

// checked returns the harness with functions that end the test instead of returning
// nil. It ends the test if a required one is missing.
func (h Harness) checked(t *testing.T) Harness {
	if h.Open == nil {
		t.Fatal("Harness.Open is required: it returns an empty store with its tables")
	}
	if h.Begin == nil {
		t.Fatal("Harness.Begin is required: it begins a transaction of a caller's in the store's database")
	}
	opens := func(name string, open func(*testing.T) queue.Store) func(*testing.T) queue.Store {
		return func(t *testing.T) queue.Store { return notNil(t, name, open(t)) }
	}
	begin, second := h.Begin, h.Second
	h.Open = opens("Open", h.Open)
	h.Begin = func(t *testing.T, store queue.Store) queue.Tx { return notNil(t, "Begin", begin(t, store)) }
	if h.OpenUnmigrated != nil {
		h.OpenUnmigrated = opens("OpenUnmigrated", h.OpenUnmigrated)
	}
	if second != nil {
		h.Second = func(t *testing.T, store queue.Store) queue.Store { return notNil(t, "Second", second(t, store)) }
	}
	return h
}

func notNil[T any](t *testing.T, name string, value T) T {
	t.Helper()
	if any(value) == nil {
		t.Fatalf("Harness.%s returned nil", name)
	}
	return value
}

// concern is one part of the suite.
type concern struct {
	name  string
	tests map[string]func(*fixture)
}

// Run runs the suite: what every store must do, and what a store that is a
// queue.Operator or a queue.Gatekeeper must do besides. Stores that have a Close method are closed by
// it, too.
func Run(t *testing.T, h Harness) {
	h = h.checked(t)
	run(t, h, []concern{
		{"Row", rowTests},
		{"JSON", jsonTests},
		{"Insert", insertTests},
		{"Unique", uniqueTests},
		{"UniqueMany", uniqueManyTests},
		{"UniqueTx", uniqueTxTests},
		{"Replace", replaceTests},
		{"Reopen", reopenTests},
		{"Claim", claimTests},
		{"Race", raceTests},
		{"Fence", fenceTests},
		{"Next", nextTests},
		{"Promote", promoteTests},
		{"Release", releaseTests},
		{"Unclaim", unclaimTests},
		{"Prefetch", prefetchTests},
		{"ClaimSize", claimSizeTests},
		{"LostAnswer", lostAnswerTests},
		{"Note", noteTests},
		{"Dispatch", dispatchTests},
		{"Outbox", outboxTests},
		{"Tx", txTests},
		{"Cancel", cancelTests},
		{"Failure", failureTests},
	})
	t.Run("Lifecycle", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.Lifecycle); !ok {
			t.Log("the store is no queue.Lifecycle, which is optional")
			return
		}
		if h.SetDeleteAt == nil {
			t.Fatal("Harness.SetDeleteAt is required for a queue.Lifecycle: it sets when a row is deleted")
		}
		run(t, h, []concern{{"Keep", keepTests}, {"Expiry", expiryTests}, {"OnFailed", onFailedTests}})
	})
	t.Run("Overviewer", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.Overviewer); !ok {
			t.Log("the store is no queue.Overviewer, which is optional")
			return
		}
		run(t, h, []concern{{"Overview", overviewTests}})
	})
	t.Run("FigureStore", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.FigureStore); !ok {
			t.Log("the store is no queue.FigureStore, which is optional")
			return
		}
		if h.SetFinishedAt == nil {
			t.Fatal("Harness.SetFinishedAt is required for a queue.FigureStore: it sets when a row has ended")
		}
		run(t, h, []concern{{"Figures", figureTests}, {"FiguresOnce", figuresOnceTests}})
	})
	t.Run("Reporter", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.Reporter); !ok {
			t.Log("the store is no queue.Reporter, which is optional")
			return
		}
		run(t, h, []concern{{"Report", reportTests}})
	})
	t.Run("Checkpointer", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.Checkpointer); !ok {
			t.Log("the store is no queue.Checkpointer, which is optional")
			return
		}
		run(t, h, []concern{{"Checkpoint", checkpointTests}})
	})
	t.Run("KeyCounter", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.KeyCounter); !ok {
			t.Log("the store is no queue.KeyCounter, which is optional")
			return
		}
		run(t, h, []concern{{"Keys", keyTests}, {"Encrypted", encryptedTests}, {"EncryptedFailure", encryptedFailureTests}, {"EncryptedRepeat", encryptedRepeatTests}, {"EncryptedEnqueued", encryptedEnqueuedTests}})
	})
	t.Run("BacklogCounter", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.BacklogCounter); !ok {
			t.Log("the store is no queue.BacklogCounter, which is optional")
			return
		}
		run(t, h, []concern{{"Backlog", backlogTests}})
	})
	t.Run("Operator", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.Operator); !ok {
			t.Log("the store is no queue.Operator, which is optional")
			return
		}
		run(t, h, []concern{
			{"View", viewTests},
			{"Contents", contentTests},
			{"Actions", actionTests},
			{"UniqueActions", uniqueActionTests},
			{"Stats", statsTests},
			{"Purge", purgeTests},
			{"Requeue", requeueTests},
			{"Large", largeTests},
		})
	})
	t.Run("AuditReader", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.AuditReader); !ok {
			t.Log("the store is no queue.AuditReader, which is optional")
			return
		}
		run(t, h, []concern{{"Audit", auditTests}})
	})
	t.Run("StateKeeper", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.StateKeeper); !ok {
			t.Log("the store is no queue.StateKeeper, which is optional")
			return
		}
		run(t, h, []concern{{"State", stateTests}})
	})
	t.Run("Gatekeeper", func(t *testing.T) {
		store := h.Open(t)
		if _, ok := store.(queue.Gatekeeper); !ok {
			t.Log("the store is no queue.Gatekeeper, which is optional")
			return
		}
		run(t, h, []concern{{"Gate", gateTests}})
		if _, ok := store.(queue.Operator); ok {
			run(t, h, []concern{{"GateView", gateViewTests}})
		}
		if _, ok := store.(queue.Limiter); ok {
			run(t, h, []concern{{"Limit", limitTests}, {"LimitPull", limitPullTests}, {"LimitSet", limitSetTests}, {"LimitChange", limitChangeTests}})
			if _, ok := store.(queue.Operator); ok {
				run(t, h, []concern{{"LimitUse", limitUseTests}, {"LimitAdmit", limitAdmitTests}})
			}
		}
	})
	t.Run("Scheduler", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.Scheduler); !ok {
			t.Log("the store is no queue.Scheduler, which is optional")
			return
		}
		run(t, h, []concern{{"Schedule", scheduleTests}, {"ScheduleOptions", scheduleOptionTests}})
	})
	t.Run("Grouper", func(t *testing.T) {
		if _, ok := h.Open(t).(queue.Grouper); !ok {
			t.Log("the store is no queue.Grouper, which is optional")
			return
		}
		run(t, h, []concern{{"Group", groupTests}, {"GroupEnd", groupEndTests}, {"GroupTx", groupTxTests}})
		if _, ok := h.Open(t).(queue.Operator); ok {
			run(t, h, []concern{{"GroupView", memberViewTests}})
		}
	})
	if h.OpenUnmigrated != nil {
		t.Run("Unmigrated", func(t *testing.T) { testUnmigrated(newFixture(t, h, h.OpenUnmigrated(t))) })
	}
	t.Run("Model", func(t *testing.T) { testModel(newFixture(t, h, h.Open(t))) })
	t.Run("Linear", func(t *testing.T) { testLinear(newFixture(t, h, h.Open(t))) })
}

func run(t *testing.T, h Harness, concerns []concern) {
	for _, concern := range concerns {
		t.Run(concern.name, func(t *testing.T) {
			for name, test := range concern.tests {
				t.Run(name, func(t *testing.T) { test(newFixture(t, h, h.Open(t))) })
			}
		})
	}
}

// What most tests use.
const (
	taskName = "emails.send"
	lease    = time.Minute
	expired  = -time.Second // the length of a lease that has run out
)
