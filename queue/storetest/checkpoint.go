package storetest

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/claimcheck-go/claimcheck/queue"
)

const someCheckpoint = `{"steps":[{"name":"a","result":{"b":[1.10,null,"é<>"]}}],"data":12345678901234567890}`

func (f *fixture) checkpointer() queue.Checkpointer { return f.store.(queue.Checkpointer) }

// save stores a checkpoint that allows more attempts.
func (f *fixture) save(claim queue.Claim, checkpoint string, more int) {
	f.Helper()
	f.must(f.checkpointer().SaveCheckpoint(f.ctx, claim, json.RawMessage(checkpoint), more))
}

// saved checks the checkpoint of a row; empty: it has none.
func (f *fixture) saved(what string, id uuid.UUID, want string) {
	f.Helper()
	if got := f.get(id).Checkpoint; string(got) != want {
		f.Errorf("%s: checkpoint %s, want %s", what, got, want)
	}
}

// held checks the checkpoint under a claim.
func (f *fixture) held(what string, claim queue.Claim, want string) {
	f.Helper()
	got, err := f.checkpointer().Checkpoint(f.ctx, claim)
	f.must(err)
	if string(got) != want || want == "" && got != nil {
		f.Errorf("%s: checkpoint %s, want %s", what, got, want)
	}
}

// checkpointTests are about a queue.Checkpointer.
var checkpointTests = map[string]func(*fixture){
	"a checkpoint is saved, read and replaced under its claim": func(f *fixture) {
		row := f.claimed(lease)
		f.held("at first", row.Claim(), "")
		before := f.get(row.ID)
		f.save(row.Claim(), someCheckpoint, 0)
		f.save(row.Claim(), someCheckpoint, 0) // its answer was lost
		f.held("then", row.Claim(), someCheckpoint)
		after := f.get(row.ID)
		before.Checkpoint = json.RawMessage(someCheckpoint)
		f.equal("row", after, before)
		f.save(row.Claim(), `{}`, 0)
		f.held("and then", row.Claim(), `{}`)
	},
	"the next attempt has it, whatever ended the last": func(f *fixture) {
		for name, end := range map[string]func(queue.Claim) error{
			"Retry":   func(c queue.Claim) error { return f.store.Retry(f.ctx, c, queue.Retry{Errors: failures(1)}) },
			"refund":  func(c queue.Claim) error { return f.store.Retry(f.ctx, c, queue.Retry{Refund: true}) },
			"Release": func(c queue.Claim) error { return f.store.Release(f.ctx, c) },
			"FAILED": func(c queue.Claim) error {
				_, err := f.store.Finish(f.ctx, c, queue.Finish{Status: queue.StatusFailed, Errors: failures(1)})
				return err
			},
			"an expired lease": func(c queue.Claim) error {
				_, _, err := f.store.Heartbeat(f.ctx, expired, c)
				return err
			},
		} {
			row := f.claimed(lease)
			f.save(row.Claim(), someCheckpoint, 0)
			f.must(end(row.Claim()))
			f.saved(name, row.ID, someCheckpoint)
			again := f.claim(row.ID, lease, func(r *queue.ClaimRequest) { r.AllowRetry = true })
			f.held(name, again.Claim(), someCheckpoint)
		}
	},
	"a lost claim neither reads nor writes": func(f *fixture) {
		zombie := f.claimed(expired)
		f.save(zombie.Claim(), someCheckpoint, 0) // nothing has claimed the row yet
		owner := f.claim(zombie.ID, lease)
		cancelled := f.claimed(lease)
		_, _, err := f.store.Cancel(f.ctx, cancelled.ID)
		f.must(err)
		deleted := queue.Claim{ID: uuid.New(), ClaimID: uuid.New()}
		for name, claim := range map[string]queue.Claim{"zombie": zombie.Claim(), "cancelled": cancelled.Claim(), "deleted": deleted, "no claim": {ID: zombie.ID}} {
			if got, err := f.checkpointer().Checkpoint(f.ctx, claim); !errors.Is(err, queue.ErrLeaseLost) || got != nil {
				f.Errorf("%s: Checkpoint: %s, %v", name, got, err)
			}
			if err := f.checkpointer().SaveCheckpoint(f.ctx, claim, json.RawMessage(`"lost"`), 5); !errors.Is(err, queue.ErrLeaseLost) {
				f.Errorf("%s: SaveCheckpoint: %v", name, err)
			}
			if err := f.store.Retry(f.ctx, claim, queue.Retry{Checkpoint: json.RawMessage(`"lost"`), MoreAttempts: 5}); !errors.Is(err, queue.ErrLeaseLost) {
				f.Errorf("%s: Retry: %v", name, err)
			}
		}
		f.held("owner", owner.Claim(), someCheckpoint)
		f.equal("max_attempts", f.get(owner.ID).MaxAttempts, owner.MaxAttempts)
	},
	"a continuation is one change": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(1), armed)
		f.save(row.Claim(), `"first"`, 0)
		retry := queue.Retry{Checkpoint: json.RawMessage(someCheckpoint), MoreAttempts: 1, Report: nil, WillDispatch: true}
		f.must(f.store.Retry(f.ctx, row.Claim(), retry))
		f.must(f.store.Retry(f.ctx, row.Claim(), retry)) // its answer was lost
		got := f.get(row.ID)
		if got.Status != queue.StatusReady || got.Attempts != 1 || got.MaxAttempts != 2 || len(got.Errors) != 0 || !got.RetryAt.IsZero() {
			f.Errorf("%+v", got)
		}
		f.saved("stored", row.ID, someCheckpoint)
		rows := f.claimNext(1) // at once
		if len(rows) != 1 || rows[0].ID != row.ID || rows[0].Attempts != 2 {
			f.Fatalf("claimed %v", rows)
		}
		f.must(f.store.Retry(f.ctx, rows[0].Claim(), queue.Retry{}))
		f.saved("a retry without a checkpoint", row.ID, someCheckpoint)
	},
	"progress allows more attempts, up to the limit": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(3))
		for _, step := range []struct{ more, want int }{{0, 3}, {-1, 3}, {1, 3}, {3, 4}, {2, 4}, {998, 999}, {5000, queue.MaxAttemptsLimit}, {3, queue.MaxAttemptsLimit}} {
			f.save(row.Claim(), `1`, step.more)
			if got := f.get(row.ID); got.MaxAttempts != step.want || got.Attempts != 1 {
				f.Errorf("%d more: max_attempts %d, attempts %d; want %d", step.more, got.MaxAttempts, got.Attempts, step.want)
			}
		}
		f.must(f.store.Retry(f.ctx, row.Claim(), queue.Retry{Checkpoint: json.RawMessage(`2`), MoreAttempts: 7}))
		f.equal("max_attempts", f.get(row.ID).MaxAttempts, queue.MaxAttemptsLimit)
	},
	"a worker that is lost after progress leaves an attempt": func(f *fixture) {
		row := f.claimed(expired, maxAttempts(1))
		f.save(row.Claim(), `1`, 1)
		if p := f.promote(); p.Reclaimed != 1 || p.Failed != 0 {
			f.Errorf("%+v", p)
		}
		again := f.claim(row.ID, expired)
		f.held("again", again.Claim(), `1`)
		if p := f.promote(); p.Reclaimed != 0 || p.Failed != 1 {
			f.Errorf("%+v", p)
		}
		f.saved("FAILED", row.ID, `1`)
	},
	"success and cancellation remove it": func(f *fixture) {
		for name, end := range f.reportingEnds() {
			for _, kept := range []bool{false, true} {
				var changes []func(*queue.NewRow)
				if _, ok := f.store.(queue.Lifecycle); kept && ok {
					changes = append(changes, keep(time.Hour, time.Hour))
				}
				row := f.claimed(lease, changes...)
				f.save(row.Claim(), someCheckpoint, 0)
				f.must(end(row.Claim(), nil))
				want := someCheckpoint
				if status := f.get(row.ID).Status; status.Final() && status != queue.StatusFailed {
					want = ""
				}
				f.saved(name, row.ID, want)
			}
		}
		row := f.claimed(lease)
		f.save(row.Claim(), someCheckpoint, 0)
		_, _, err := f.store.Cancel(f.ctx, row.ID)
		f.must(err)
		f.saved("Cancel", row.ID, "")
	},
	"an action that cancels many removes it": func(f *fixture) {
		operator, ok := f.store.(queue.Operator)
		if !ok {
			return
		}
		row := f.claimed(lease)
		f.save(row.Claim(), someCheckpoint, 0)
		_, err := operator.Act(f.ctx, queue.ActionCancel, queue.Selection{IDs: []uuid.UUID{row.ID}}, f.now(), 10)
		f.must(err)
		f.saved("Act", row.ID, "")
	},
	"it is dropped with the arguments": func(f *fixture) {
		if _, ok := f.store.(queue.Lifecycle); !ok {
			return
		}
		row := f.claimed(lease, keep(0, 0))
		f.save(row.Claim(), someCheckpoint, 0)
		f.fail(row.Claim())
		f.saved("FAILED", row.ID, "")
		row = f.claimed(lease, keep(0, 0))
		f.save(row.Claim(), someCheckpoint, 0)
		_, _, err := f.store.Cancel(f.ctx, row.ID)
		f.must(err)
		f.saved("CANCELLED", row.ID, "")
		row = f.claimed(expired, keep(0, 0), maxAttempts(1))
		f.save(row.Claim(), someCheckpoint, 0)
		f.promote()
		f.saved("lost", row.ID, "")
	},
	"it is of the arguments that a replacement removes": func(f *fixture) {
		row := f.insert(keyed("k"))
		f.must(f.store.Retry(f.ctx, f.claim(row.ID, lease).Claim(), queue.Retry{Checkpoint: json.RawMessage(someCheckpoint)}))
		f.must(f.store.Insert(f.ctx, request(keyed("k"), onConflict(queue.ReplaceExisting), args(`{"a":2}`))))
		f.saved("replaced", row.ID, "")
	},
	"a checkpoint within a transaction is saved by its commit": func(f *fixture) {
		row := f.claimed(lease, maxAttempts(1))
		save := func(claim queue.Claim, checkpoint string) (queue.Tx, error) {
			tx := f.begin(f.T, f.store)
			return tx, f.checkpointer().SaveCheckpointTx(f.ctx, tx, claim, json.RawMessage(checkpoint), 3)
		}
		tx, err := save(row.Claim(), `"undone"`)
		f.must(err)
		f.must(tx.Rollback(f.ctx))
		f.held("rolled back", row.Claim(), "")
		f.equal("max_attempts", f.get(row.ID).MaxAttempts, 1)
		tx, err = save(row.Claim(), someCheckpoint)
		f.must(err)
		f.must(tx.Commit(f.ctx))
		f.held("committed", row.Claim(), someCheckpoint)
		f.equal("max_attempts", f.get(row.ID).MaxAttempts, 4)
		f.must(f.store.Release(f.ctx, row.Claim()))
		tx, err = save(row.Claim(), `"lost"`)
		if !errors.Is(err, queue.ErrLeaseLost) {
			f.Errorf("SaveCheckpointTx under a lost claim: %v", err)
		}
		f.must(tx.Rollback(f.ctx))
		f.saved("lost", row.ID, someCheckpoint)
		if err := f.checkpointer().SaveCheckpointTx(f.ctx, struct{ queue.Tx }{}, row.Claim(), json.RawMessage(`1`), 0); !errors.Is(err, queue.ErrInvalid) {
			f.Errorf("in another store's transaction: %v", err)
		}
	},
	"success within a rolled back transaction keeps it": func(f *fixture) {
		row := f.claimed(lease)
		f.save(row.Claim(), someCheckpoint, 0)
		tx := f.begin(f.T, f.store)
		_, err := f.store.FinishTx(f.ctx, tx, row.Claim(), queue.Finish{Status: queue.StatusSuccessful})
		f.must(err)
		f.must(tx.Rollback(f.ctx))
		f.held("rolled back", row.Claim(), someCheckpoint)
	},
}
